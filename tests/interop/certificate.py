"""An authority of our own and a certificate of it, made by openssl."""

import subprocess


class Certificate:
    def __init__(self, directory, name="localhost"):
        directory.mkdir()
        self.authority, self.certificate, self.key = directory / "ca.pem", directory / "cert.pem", directory / "key.pem"
        authority_key, request, extension = directory / "ca.key", directory / "request", directory / "extension"
        extension.write_text(f"subjectAltName=DNS:{name},IP:127.0.0.1\n")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=an authority", "-keyout", authority_key, "-out", self.authority)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", self.key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.authority, "-CAkey", authority_key, "-CAcreateserial", "-days", "2", "-extfile", extension,
                "-out", self.certificate)
        directory.chmod(0o755)


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
