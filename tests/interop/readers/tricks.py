"""Messages that readers could take in two ways: hundreds of tricks with parameters, boundaries, encodings, names, nesting and charsets.

Each is a name and bytes. What must not be hidden is called `evil.exe`, or says `zebra…` in a text."""

import base64
import binascii
import quopri

TOP = b"From: a@outside.example\r\nTo: b@inside.example\r\nSubject: trick\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\nMessage-ID: <t@outside.example>\r\nMIME-Version: 1.0\r\n"
EXE = base64.encodebytes(b"MZ\x90\x00 not a program, but it begins like one").replace(b"\n", b"\r\n")
TEXT = b"zebraone stands here\r\n"
tricks = {}


def octets(text):
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def trick(name, message):
    assert name not in tricks, name
    tricks[name] = octets(message)


def part(header, content=TEXT):
    return octets(header) + b"\r\n" + octets(content)


def multipart(*parts, boundary="b", kind="mixed", end=True, header=None):
    """A whole message of parts; `header` instead of the usual Content-Type."""
    out = TOP + octets(header if header is not None else f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n') + b"\r\n"
    return out + body(parts, boundary, end)


def body(parts, boundary="b", end=True):
    out = b"".join(b"--" + octets(boundary) + b"\r\n" + octets(one) + b"\r\n" for one in parts)
    return out + (b"--" + octets(boundary) + b"--\r\n" if end else b"")


def attachment(header):
    """A message with a text and an attachment that has this header."""
    return multipart(part("Content-Type: text/plain\r\n"), part(octets(header) + b"Content-Transfer-Encoding: base64\r\n", EXE))


def single(header, content=TEXT):
    return TOP + octets(header) + b"\r\n" + octets(content)


def disposition(value, kind="application/octet-stream"):
    return attachment(b"Content-Type: " + octets(kind) + b"\r\nContent-Disposition: " + octets(value) + b"\r\n")


def names():
    """How a name can be written in Content-Disposition."""
    for name, value in {
        "plain": 'attachment; filename="evil.exe"',
        "token": "attachment; filename=evil.exe",
        "single-quotes": "attachment; filename='evil.exe'",
        "unquoted-blanks": "attachment; filename=my evil.exe",
        "quoted-pairs": 'attachment; filename="ev\\il.e\\xe"',
        "escaped-quote": 'attachment; filename="a\\"b.exe"',
        "unclosed-quote": 'attachment; filename="evil.exe',
        "quote-in-the-middle": 'attachment; filename=ev"il.exe"',
        "two-quoted-strings": 'attachment; filename="evil" ".exe"',
        "two-quoted-strings-joined": 'attachment; filename="evil"".exe"',
        "text-behind-the-quote": 'attachment; filename="fine.txt".exe',
        "text-behind-the-quote-and-a-blank": 'attachment; filename="fine.txt" evil.exe',
        "double-quotes-doubled": 'attachment; filename=""evil.exe""',
        "semicolon-in-quotes": 'attachment; filename="fine.txt; evil.exe"',
        "semicolon-without-quotes": "attachment; filename=fine.txt; evil.exe",
        "fake-parameter-in-quotes": 'attachment; x="; filename=fine.txt; "; filename=evil.exe',
        "fake-parameter-in-a-comment": "attachment; (filename=fine.txt;) filename=evil.exe",
        "real-parameter-in-a-comment": "attachment; filename=fine.txt (; filename=evil.exe)",
        "nested-comments": "attachment (a (b) ; c); filename=evil.exe",
        "comment-with-a-quote": 'attachment (a " b); filename="evil.exe"',
        "comment-with-an-escaped-bracket": "attachment (a \\) b); filename=evil.exe",
        "comment-unclosed": "attachment (a; filename=evil.exe",
        "comment-before-the-name": "attachment; (c)filename=evil.exe",
        "comment-behind-the-name": "attachment; filename(c)=evil.exe",
        "comment-before-the-value": "attachment; filename=(c)evil.exe",
        "comment-behind-the-value": "attachment; filename=evil.exe(c)",
        "comment-behind-the-value-and-a-blank": "attachment; filename=evil.exe (c)",
        "comment-in-the-value": "attachment; filename=evil(c).exe",
        "bracket-in-quotes": 'attachment; filename="(evil.exe"',
        "blanks-around-the-equals-sign": 'attachment; filename = "evil.exe"',
        "tabs-around-the-equals-sign": 'attachment; filename\t=\t"evil.exe"',
        "fold-before-the-value": 'attachment; filename=\r\n "evil.exe"',
        "fold-before-the-equals-sign": 'attachment; filename\r\n ="evil.exe"',
        "fold-in-the-name": 'attachment; file\r\n name="evil.exe"',
        "fold-in-the-value": 'attachment; filename="evil\r\n .exe"',
        "fold-in-the-value-by-tab": 'attachment; filename="evil.\r\n\texe"',
        "fold-in-a-token": "attachment; filename=evil.\r\n exe",
        "fold-with-blanks-only": 'attachment;\r\n \r\n filename="evil.exe"',
        "upper-case": 'ATTACHMENT; FILENAME="evil.exe"',
        "odd-case": 'aTTachMent; fILeNamE="evil.exe"',
        "no-semicolon": 'attachment filename="evil.exe"',
        "comma-for-semicolon": 'attachment, filename="evil.exe"',
        "semicolons-doubled": 'attachment;; ; filename="evil.exe";;',
        "semicolon-first": '; filename="evil.exe"',
        "no-disposition-word": 'filename="evil.exe"',
        "equals-sign-doubled": 'attachment; filename=="evil.exe"',
        "colon-for-equals-sign": 'attachment; filename:"evil.exe"',
        "empty-value-first": 'attachment; filename=; filename="evil.exe"',
        "empty-quotes-first": 'attachment; filename=""; filename="evil.exe"',
        "twice": 'attachment; filename="fine.txt"; filename="evil.exe"',
        "twice-the-other-way": 'attachment; filename="evil.exe"; filename="fine.txt"',
        "twice-in-odd-case": 'attachment; filename="fine.txt"; FileName="evil.exe"',
        "name-for-filename": 'attachment; name="evil.exe"',
        "name-and-filename": 'attachment; name="fine.txt"; filename="evil.exe"',
        "disposition-unknown": 'x-foo; filename="evil.exe"',
        "disposition-empty-quotes": '""; filename="evil.exe"',
        "disposition-quoted": '"attachment"; filename="evil.exe"',
        "disposition-with-a-slash": 'attachment/x; filename="evil.exe"',
        "inline": 'inline; filename="evil.exe"',
        "path": 'attachment; filename="../../evil.exe"',
        "windows-path": 'attachment; filename="C:\\\\dir\\\\evil.exe"',
        "windows-path-unescaped": 'attachment; filename="C:\\dir\\evil.exe"',
        "trailing-dots": 'attachment; filename="evil.exe..."',
        "trailing-blanks": 'attachment; filename="evil.exe   "',
        "leading-blanks": 'attachment; filename="   evil.exe"',
        "only-an-extension": 'attachment; filename=".exe"',
        "long": f'attachment; filename="{"a" * 900}.exe"',
        "long-folded": 'attachment; filename="' + "\r\n ".join(["abcdefghij" * 6] * 5) + '.exe"',
        "alternate-stream": 'attachment; filename="fine.txt:evil.exe"',
        "percent-without-star": 'attachment; filename="evil%2Eexe"',
        "html-entity": 'attachment; filename="evil&#46;exe"',
        "raw-utf8": 'attachment; filename="évil.exe"',
        "raw-latin1": b'attachment; filename="\xe9vil.exe"',
        "raw-nul": b'attachment; filename="evil.exe\x00.txt"',
        "nul-before-the-parameter": b'attachment;\x00 filename="evil.exe"',
        "bare-cr-in-the-value": b'attachment; filename="evil\r.exe"',
        "bare-cr-before-the-parameter": b'attachment;\r filename="evil.exe"',
        "bare-lf-before-the-parameter": b'attachment;\n filename="evil.exe"',
        "vertical-tab": b'attachment;\x0bfilename="evil.exe"',
        "form-feed": b'attachment;\x0cfilename="evil.exe"',
        "no-break-space": 'attachment;\u00a0filename="evil.exe"',
        "backspace": b'attachment; filename="fine.txt\x08\x08\x08exe"',
        "right-to-left": "attachment; filename*=utf-8''fine%E2%80%AEtxt.exe",
        "zero-width": "attachment; filename*=utf-8''evil.e%E2%80%8Bxe",
        "full-width": "attachment; filename*=utf-8''evil%EF%BC%8Eexe",
    }.items():
        trick("name/" + name, disposition(value))


def rfc2231():
    for name, value in {
        "extended": "attachment; filename*=utf-8''evil.exe",
        "extended-escaped": "attachment; filename*=utf-8''%65%76il%2eexe",
        "extended-with-language": "attachment; filename*=utf-8'en'evil.exe",
        "extended-quoted": "attachment; filename*=\"utf-8''evil.exe\"",
        "extended-without-marks": "attachment; filename*=evil.exe",
        "extended-with-one-mark": "attachment; filename*=utf-8'evil.exe",
        "extended-with-marks-in-the-name": "attachment; filename*=utf-8''ev'il.exe",
        "extended-empty-charset": "attachment; filename*=''evil.exe",
        "extended-unknown-charset": "attachment; filename*=x-nobody''evil.exe",
        "extended-utf7": "attachment; filename*=utf-7''evil+AC4-exe",
        "extended-utf16": "attachment; filename*=utf-16''%FE%FF%00e%00v%00i%00l%00.%00e%00x%00e",
        "extended-utf16be": "attachment; filename*=utf-16be''%00e%00v%00i%00l%00.%00e%00x%00e",
        "extended-overlong": "attachment; filename*=utf-8''evil%C0%AEexe",
        "extended-broken-percent": "attachment; filename*=utf-8''evil%2.exe",
        "extended-percent-without-digits": "attachment; filename*=utf-8''evil%zz.exe",
        "extended-and-plain": "attachment; filename=fine.txt; filename*=utf-8''evil.exe",
        "plain-and-extended-the-other-way": "attachment; filename*=utf-8''fine.txt; filename=evil.exe",
        "extended-twice": "attachment; filename*=utf-8''fine.txt; filename*=utf-8''evil.exe",
        "extended-upper-case": "attachment; FILENAME*=UTF-8''evil.exe",
        "star-and-blank": "attachment; filename *=utf-8''evil.exe",
        "blank-behind-the-star": "attachment; filename* =utf-8''evil.exe",
        "pieces": 'attachment; filename*0="evil"; filename*1=".exe"',
        "pieces-three": 'attachment; filename*0=e; filename*1=vil.; filename*2=exe',
        "pieces-extended": "attachment; filename*0*=utf-8''ev; filename*1*=il%2E; filename*2*=exe",
        "pieces-mixed": "attachment; filename*0*=utf-8''evil; filename*1=\".exe\"",
        "pieces-mixed-percent": "attachment; filename*0*=utf-8''evil; filename*1=\"%2Eexe\"",
        "pieces-plain-then-extended": "attachment; filename*0=evil; filename*1*=%2Eexe",
        "pieces-out-of-order": 'attachment; filename*1=".exe"; filename*0="evil"',
        "pieces-missing-the-first": 'attachment; filename*1="evil"; filename*2=".exe"',
        "pieces-missing-the-middle": 'attachment; filename*0="evil"; filename*2=".exe"',
        "pieces-doubled": 'attachment; filename*0="fine"; filename*0="evil"; filename*1=".exe"',
        "pieces-leading-zero": 'attachment; filename*00="evil"; filename*01=".exe"',
        "pieces-not-a-number": 'attachment; filename*a="evil.exe"',
        "pieces-huge-number": 'attachment; filename*0="evil"; filename*99999999999999999999=".exe"',
        "pieces-negative": 'attachment; filename*-1="evil"; filename*0=".exe"',
        "pieces-plus": 'attachment; filename*+0="evil"; filename*+1=".exe"',
        "pieces-one-only": 'attachment; filename*0="evil.exe"',
        "pieces-beside-plain": 'attachment; filename="fine.txt"; filename*0="evil"; filename*1=".exe"',
        "pieces-beside-extended": "attachment; filename*=utf-8''fine.txt; filename*0=evil; filename*1=.exe",
        "pieces-in-odd-case": 'attachment; filename*0="evil"; FILENAME*1=".exe"',
        "pieces-with-charset-in-the-second": "attachment; filename*0=evil; filename*1*=utf-8''.exe",
        "pieces-cut-in-a-character": "attachment; filename*0*=utf-8''%C3; filename*1*=%A9vil.exe",
        "pieces-cut-in-a-percent": "attachment; filename*0*=utf-8''evil%2; filename*1*=Eexe",
        "pieces-reversed-stars": "attachment; filename**0=utf-8''evil.exe",
        "pieces-star-star": "attachment; filename*0**=utf-8''evil.exe",
        "pieces-empty": 'attachment; filename*0=""; filename*1="evil.exe"',
        "pieces-of-encoded-word": 'attachment; filename*0="=?utf-8?q?evil="; filename*1="2Eexe?="',
        "encoded-word-in-extended": "attachment; filename*==?utf-8?q?evil=2Eexe?=",
        "control-characters": "attachment; filename*=utf-8''evil%00.exe%0D%0A",
    }.items():
        trick("rfc2231/" + name, disposition(value))
    for name, value in {
        "name-extended": "application/octet-stream; name*=utf-8''evil.exe",
        "name-pieces": 'application/octet-stream; name*0="evil"; name*1=".exe"',
        "name-plain-and-extended": "application/octet-stream; name=fine.txt; name*=utf-8''evil.exe",
    }.items():
        trick("rfc2231/" + name, attachment(f"Content-Type: {value}\r\nContent-Disposition: attachment\r\n"))


def encoded_words():
    base = base64.b64encode(b"evil.exe").decode()
    for name, value in {
        "q": 'attachment; filename="=?utf-8?q?evil=2Eexe?="',
        "b": f'attachment; filename="=?utf-8?B?{base}?="',
        "unquoted": f"attachment; filename==?utf-8?B?{base}?=",
        "two-words": 'attachment; filename="=?utf-8?q?evil?= =?utf-8?q?=2Eexe?="',
        "two-words-folded": 'attachment; filename="=?utf-8?q?evil?=\r\n =?utf-8?q?=2Eexe?="',
        "two-words-joined": 'attachment; filename="=?utf-8?q?evil?==?utf-8?q?=2Eexe?="',
        "cut-in-a-character": 'attachment; filename="=?utf-8?b?w6l2aWwuZXhlw?= =?utf-8?b?qQ==?="',
        "text-before": 'attachment; filename="ev=?utf-8?q?il=2Eexe?="',
        "text-behind": 'attachment; filename="=?utf-8?q?evil?=.exe"',
        "without-padding": f'attachment; filename="=?utf-8?B?{base.rstrip("=")}?="',
        "padding-in-the-middle": 'attachment; filename="=?utf-8?B?ZXY=aWwuZXhl?="',
        "blank-inside": 'attachment; filename="=?utf-8?q?evil .exe?="',
        "unknown-charset": 'attachment; filename="=?x-nobody?q?evil=2Eexe?="',
        "utf7": 'attachment; filename="=?utf-7?q?evil+AC4-exe?="',
        "utf16": 'attachment; filename="=?utf-16?b?/v8AZQB2AGkAbAAuAGUAeABl?="',
        "language": 'attachment; filename="=?utf-8*en?q?evil=2Eexe?="',
        "empty-charset": 'attachment; filename="=??q?evil=2Eexe?="',
        "unknown-encoding": 'attachment; filename="=?utf-8?x?evil.exe?="',
        "unclosed": 'attachment; filename="=?utf-8?q?evil.exe"',
        "long": 'attachment; filename="=?utf-8?q?' + "a" * 120 + '=2Eexe?="',
        "lower-hex": 'attachment; filename="=?utf-8?q?evil=2eexe?="',
        "broken-hex": 'attachment; filename="=?utf-8?q?evil=2.exe?="',
        "twice-encoded": 'attachment; filename="=?utf-8?q?=3D=3Futf-8=3Fq=3Fevil=2Eexe=3F=3D?="',
        "whole-value": "=?utf-8?q?attachment=3B_filename=3Devil=2Eexe?=",
        "name-encoded": "attachment; =?utf-8?q?filename?=evil.exe",
        "nul": 'attachment; filename="=?utf-8?q?evil.exe=00.txt?="',
    }.items():
        trick("encoded-word/" + name, disposition(value))


def types():
    """Names on Content-Type, odd types, fields twice or odd."""
    for name, header in {
        "name-only": 'Content-Type: application/octet-stream; name="evil.exe"\r\n',
        "name-encoded-word": "Content-Type: application/octet-stream; name==?utf-8?q?evil=2Eexe?=\r\n",
        "name-and-filename-differ": 'Content-Type: application/octet-stream; name="evil.exe"\r\nContent-Disposition: attachment; filename="fine.txt"\r\n',
        "name-and-empty-filename": 'Content-Type: application/octet-stream; name="evil.exe"\r\nContent-Disposition: attachment; filename=""\r\n',
        "filename-on-content-type": 'Content-Type: application/octet-stream; filename="evil.exe"\r\nContent-Disposition: attachment\r\n',
        "field-in-odd-case": 'cOnTeNt-tYpE: application/octet-stream; name="evil.exe"\r\n',
        "blank-before-the-colon": 'Content-Type : application/octet-stream; name="evil.exe"\r\n',
        "no-blank-behind-the-colon": 'Content-Type:application/octet-stream;name="evil.exe"\r\n',
        "fold-behind-the-colon": 'Content-Type:\r\n application/octet-stream; name="evil.exe"\r\n',
        "field-twice": 'Content-Type: text/plain; name="fine.txt"\r\nContent-Type: application/octet-stream; name="evil.exe"\r\n',
        "disposition-twice": 'Content-Disposition: inline; filename=fine.txt\r\nContent-Disposition: attachment; filename="evil.exe"\r\n',
        "disposition-twice-the-other-way": 'Content-Disposition: attachment; filename="evil.exe"\r\nContent-Disposition: inline; filename=fine.txt\r\n',
        "no-subtype": 'Content-Type: application; name="evil.exe"\r\n',
        "no-type": 'Content-Type: ; name="evil.exe"\r\n',
        "only-a-parameter": 'Content-Type: name="evil.exe"\r\n',
        "blanks-in-the-type": 'Content-Type: application / octet-stream; name="evil.exe"\r\n',
        "two-slashes": 'Content-Type: application/octet/stream; name="evil.exe"\r\n',
        "text-with-a-name": 'Content-Type: text/plain; name="evil.exe"\r\n',
        "text-inline-with-a-name": 'Content-Type: text/plain\r\nContent-Disposition: inline; filename="evil.exe"\r\n',
        "html-with-a-name": 'Content-Type: text/html; name="evil.exe"\r\nContent-Disposition: attachment\r\n',
        "image-with-a-name": 'Content-Type: image/png; name="evil.exe"\r\nContent-ID: <x>\r\nContent-Disposition: inline\r\n',
        "description": 'Content-Type: application/octet-stream\r\nContent-Description: evil.exe\r\nContent-Disposition: attachment\r\n',
        "location": 'Content-Type: application/octet-stream\r\nContent-Location: evil.exe\r\n',
        "bad-line-before": 'this is no field\r\nContent-Type: application/octet-stream; name="evil.exe"\r\n',
        "continuation-first": ' x\r\nContent-Type: application/octet-stream; name="evil.exe"\r\n',
        "from-line-first": 'From nobody Mon Mar  2 10:00:00 2026\r\nContent-Type: application/octet-stream; name="evil.exe"\r\n',
        "colon-first": ': x\r\nContent-Type: application/octet-stream; name="evil.exe"\r\n',
        "nul-in-the-field-name": b'Content-\x00Type: application/octet-stream; name="evil.exe"\r\n',
        "external-body": 'Content-Type: message/external-body; access-type=URL; URL="https://x.example/evil.exe"; name="evil.exe"\r\n',
        "tnef": 'Content-Type: application/ms-tnef; name="winmail.dat"\r\n',
        "binhex": 'Content-Type: application/mac-binhex40; name="evil.exe"\r\n',
        "partial": 'Content-Type: message/partial; id="x@y"; number=1; total=2; name="evil.exe"\r\n',
        "appledouble-header": 'Content-Type: application/applefile; name="evil.exe"\r\n',
    }.items():
        trick("type/" + name, attachment(header))
    for name, header in {
        "nonsense": "Content-Type: nonsense\r\n",
        "empty": "Content-Type:\r\n",
        "no-mime-version": "X-Nothing: x\r\n",
        "text-with-no-subtype": "Content-Type: text\r\n",
        "text-slash": "Content-Type: text/\r\n",
        "text-unknown": "Content-Type: text/x-zebra\r\n",
        "text-quoted": 'Content-Type: "text/plain"\r\n',
        "text-in-a-comment": "Content-Type: (application/pdf) text/plain\r\n",
        "text-with-a-comment-inside": "Content-Type: text(c)/plain\r\n",
        "twice-text-last": "Content-Type: application/pdf\r\nContent-Type: text/plain\r\n",
        "twice-text-first": "Content-Type: text/plain\r\nContent-Type: application/pdf\r\n",
        "equals": "Content-Type=text/plain\r\n",
        "comma": "Content-Type: text/plain, application/pdf\r\n",
        "application-text": "Content-Type: application/text\r\n",
        "message-unknown": "Content-Type: message/x-foo\r\n",
        "delivery-status": "Content-Type: message/delivery-status\r\n",
        "rfc822-headers": "Content-Type: text/rfc822-headers\r\n",
        "calendar": "Content-Type: text/calendar\r\n",
        "multipart-without-a-boundary": "Content-Type: multipart/mixed\r\n",
        "attachment-outside": "Content-Disposition: attachment\r\n",
        "attachment-outside-named": "Content-Disposition: attachment; filename=evil.exe\r\n",
    }.items():
        trick("text/" + name, single(header))


def boundaries():
    evil = part('Content-Type: application/octet-stream; name="evil.exe"\r\nContent-Transfer-Encoding: base64\r\n', EXE)
    text = part("Content-Type: text/plain\r\n")
    for name, (header, boundary) in {
        "token": ("boundary=b", "b"),
        "quoted": ('boundary="b"', "b"),
        "single-quotes": ("boundary='b'", "'b'"),
        "single-quotes-left-out": ("boundary='b'", "b"),
        "quoted-blanks-inside": ('boundary="a b"', "a b"),
        "unquoted-blanks-inside": ("boundary=a b", "a b"),
        "unquoted-blanks-cut": ("boundary=a b", "a"),
        "quoted-blank-at-the-end": ('boundary="b "', "b"),
        "quoted-blank-at-the-end-kept": ('boundary="b "', "b "),
        "quoted-blank-at-the-start": ('boundary=" b"', " b"),
        "quoted-blank-at-the-start-left-out": ('boundary=" b"', "b"),
        "quoted-pairs": ('boundary="\\b\\c"', "bc"),
        "quoted-pairs-kept": ('boundary="\\b\\c"', "\\b\\c"),
        "comment-behind": ("boundary=b (c)", "b"),
        "comment-joined": ("boundary=b(c)", "b"),
        "comment-joined-kept": ("boundary=b(c)", "b(c)"),
        "comment-before": ("boundary=(c)b", "b"),
        "slash": ("boundary=a/b", "a/b"),
        "slash-cut": ("boundary=a/b", "a"),
        "equals": ("boundary=a=b", "a=b"),
        "equals-first": ("boundary==b", "=b"),
        "colon": ("boundary=a:b", "a:b"),
        "upper-case": ("BOUNDARY=B", "B"),
        "case-differs": ("boundary=B", "b"),
        "extended": ("boundary*=us-ascii''b", "b"),
        "extended-escaped": ("boundary*=us-ascii''%62c", "bc"),
        "pieces": ("boundary*0=a; boundary*1=b", "ab"),
        "encoded-word": ("boundary==?utf-8?q?b?=", "b"),
        "encoded-word-kept": ("boundary==?utf-8?q?b?=", "=?utf-8?q?b?="),
        "twice-first": ("boundary=a; boundary=b", "a"),
        "twice-last": ("boundary=a; boundary=b", "b"),
        "plain-and-extended-first": ("boundary=a; boundary*=us-ascii''b", "a"),
        "plain-and-extended-last": ("boundary=a; boundary*=us-ascii''b", "b"),
        "unclosed-quote": ('boundary="b', "b"),
        "text-behind-the-quote": ('boundary="a"b', "a"),
        "text-behind-the-quote-joined": ('boundary="a"b', "ab"),
        "folded": ('boundary="a\r\n b"', "a b"),
        "folded-joined": ('boundary="a\r\n b"', "ab"),
        "folded-by-tab": ('boundary="a\r\n\tb"', "a\tb"),
        "empty": ('boundary=""', ""),
        "long": (f"boundary={'x' * 200}", "x" * 200),
        "very-long": (f"boundary={'x' * 1200}", "x" * 1200),
        "dashes": ("boundary=--", "--"),
        "dashes-at-the-end": ("boundary=b--", "b--"),
        "semicolon-quoted": ('boundary="a;b"', "a;b"),
        "eight-bit": ("boundary=é", "é"),
        "no-semicolon": ("", "b"),
        "comma": ("charset=x, boundary=b", "b"),
        "nul-cut": (b"boundary=a\x00b", "a"),
        "trailing-semicolon": ("boundary=b;", "b"),
        "tab": ("boundary=b\t", "b"),
        "dot-at-the-end": ("boundary=b.", "b."),
    }.items():
        header = b"Content-Type: multipart/mixed; " + octets(header) + b"\r\n"
        trick("boundary/" + name, multipart(text, evil, boundary=boundary, header=header))
    head = TOP + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    for name, rest in {
        "no-end": body([text, evil], end=False),
        "no-end-no-line-end": body([text, evil], end=False).rstrip(b"\r\n"),
        "blanks-behind": body([text, evil]).replace(b"--b\r\n", b"--b \t \r\n"),
        "blanks-before": body([text, evil]).replace(b"--b\r\n", b" --b\r\n"),
        "text-behind": body([text, evil]).replace(b"--b\r\n", b"--b text\r\n"),
        "letters-behind": body([text, evil]).replace(b"--b\r\n", b"--bb\r\n"),
        "one-dash-behind": body([text]) .replace(b"--b--", b"--b-") + body([evil]),
        "three-dashes-behind": body([text, evil]).replace(b"--b--", b"--b---"),
        "blank-before-the-end-dashes": body([text], end=False) + b"--b --\r\n" + body([evil]),
        "text-behind-the-end": body([text], end=False) + b"--b-- text\r\n" + body([evil]),
        "part-behind-the-end": body([text]) + body([evil]),
        "text-behind-the-end-delimiter": body([evil]) + b"\r\nzebraepilogue stands behind\r\n",
        "preamble-with-text": b"zebrapreamble stands before\r\n" + body([evil]),
        "no-delimiter": b"zebranone\r\n",
        "end-only": b"zebranone\r\n--b--\r\nzebratwo\r\n",
        "bare-lf-before": body([text, evil]).replace(b"\r\n--b\r\n", b"\n--b\n"),
        "bare-cr-before": body([text, evil]).replace(b"\r\n--b\r\n", b"\r--b\r"),
        "nul-behind": body([text, evil]).replace(b"--b\r\n", b"--b\x00\r\n"),
        "vertical-tab-behind": body([text, evil]).replace(b"--b\r\n", b"--b\x0b\r\n"),
        "bom-before": b"\xef\xbb\xbf" + body([evil]),
        "no-blank-line-in-the-part": b"--b\r\nContent-Type: text/plain\r\nzebraone stands here\r\n" + body([evil]),
        "header-without-content": b"--b\r\nContent-Type: application/octet-stream; name=evil.exe\r\n--b--\r\n",
        "header-at-the-end": b"--b\r\nContent-Type: application/octet-stream; name=evil.exe\r\n",
        "empty-part": b"--b\r\n" + body([evil]),
        "blank-line-with-blanks": b"--b\r\nContent-Type: text/plain\r\n \r\nContent-Type: application/octet-stream; name=evil.exe\r\n\r\n" + EXE + b"--b--\r\n",
        "delimiter-doubled": b"--b\r\n--b\r\n" + body([evil]),
        "delimiter-in-base64": body([part("Content-Transfer-Encoding: base64\r\n", base64.b64encode(b"zebrainside"))]),
        "from-line-quoted": body([text]).replace(b"zebraone", b">From zebraone"),
    }.items():
        trick("delimiter/" + name, head + rest)
    # One boundary begins with another.
    for name, outer, inner in (("inner-longer", "b", "bb"), ("outer-longer", "bb", "b"), ("the-same", "b", "b"), ("inner-with-dashes", "b", "b--"), ("outer-with-dashes", "b--", "b")):
        below = part(f'Content-Type: multipart/mixed; boundary="{inner}"\r\n', body([text, evil], inner))
        trick("prefix/" + name, multipart(below, part("Content-Type: text/plain\r\n", b"zebraafter\r\n"), boundary=outer))
        open_end = part(f'Content-Type: multipart/mixed; boundary="{inner}"\r\n', body([text, evil], inner, end=False))
        trick("prefix/" + name + "-no-end", multipart(open_end, part("Content-Type: text/plain\r\n", b"zebraafter\r\n"), boundary=outer))


def encodings():
    text = b"zebraone and zebratwo stand here, zebrathree too\r\n"
    encoded = base64.b64encode(text)
    half = len(encoded) // 2 // 4 * 4
    quoted = quopri.encodestring(text)
    for name, (encoding, content) in {
        "base64": ("base64", encoded),
        "base64-odd-case": ("BaSe64", encoded),
        "base64-quoted": ('"base64"', encoded),
        "base64-comment": ("base64 (c)", encoded),
        "base64-comment-before": ("(c) base64", encoded),
        "base64-semicolon": ("base64;", encoded),
        "base64-parameter": ("base64; x=y", encoded),
        "base64-text-behind": ("base64 x", encoded),
        "base64-blank-inside": ("base 64", encoded),
        "base64-fold": ("\r\n base64", encoded),
        "base64-dash": ("base-64", encoded),
        "base64-x": ("x-base64", encoded),
        "base64-comma": ("7bit, base64", encoded),
        "base64-vertical-tab": (b"\x0bbase64", encoded),
        "base64-nul": (b"base64\x00", encoded),
        "base64-encoded-word": ("=?utf-8?q?base64?=", encoded),
        "base64-junk": ("base64", encoded[:half] + b"*!$%" + encoded[half:]),
        "base64-blanks": ("base64", encoded[:half] + b" \t\r\n \r\n" + encoded[half:]),
        "base64-padding-in-the-middle": ("base64", base64.b64encode(text[:10]) + base64.b64encode(text[10:])),
        "base64-padding-and-a-line": ("base64", base64.b64encode(text[:10]) + b"\r\n" + base64.b64encode(text[10:])),
        "base64-padding-missing": ("base64", base64.b64encode(text + b"x").rstrip(b"=")),
        "base64-padding-too-much": ("base64", encoded + b"===="),
        "base64-one-letter-more": ("base64", encoded + b"A"),
        "base64-plain-text-first": ("base64", b"zebraplain!\r\n" + encoded),
        "base64-plain-text-behind": ("base64", encoded + b"\r\n\r\nzebraplain stands behind\r\n"),
        "base64-url-alphabet": ("base64", base64.urlsafe_b64encode(b"zebra" + b"\xfb\xff\xfe" + text)),
        "base64-nul-inside": ("base64", encoded[:half] + b"\x00" + encoded[half:]),
        "base64-dashes": ("base64", encoded[:half] + b"-" + encoded[half:]),
        "base64-uu-line": ("base64", b"begin-base64 644 x\r\n" + encoded),
        "base64-that-is-none": ("base64", text),
        "base64-one-line": ("base64", base64.b64encode(text * 40)),
        "quoted": ("quoted-printable", quoted),
        "quoted-odd-case": ("Quoted-Printable", quoted),
        "quoted-soft-break-in-a-word": ("quoted-printable", b"zeb=\r\nraone\r\n"),
        "quoted-soft-break-and-blanks": ("quoted-printable", b"zeb= \t\r\nraone\r\n"),
        "quoted-soft-break-bare-lf": ("quoted-printable", b"zeb=\nraone\r\n"),
        "quoted-soft-break-bare-cr": ("quoted-printable", b"zeb=\rraone\r\n"),
        "quoted-soft-break-at-the-end": ("quoted-printable", b"zebraone="),
        "quoted-all": ("quoted-printable", b"=7A=65=62=72=61=6F=6E=65\r\n"),
        "quoted-lower-hex": ("quoted-printable", b"=7a=65=62=72=61one\r\n"),
        "quoted-broken-hex": ("quoted-printable", b"ze=7xbra zebra=4\r\nzebraone=\r\n"),
        "quoted-one-digit": ("quoted-printable", b"zebra=A one\r\n"),
        "quoted-equals-doubled": ("quoted-printable", b"zebra==6Fne\r\n"),
        "quoted-blank-at-the-end": ("quoted-printable", b"zebraone   \r\nzebratwo\t\r\n"),
        "quoted-hex-cut-by-a-soft-break": ("quoted-printable", b"zebra=\r\n6Fne zebra=6=\r\nFne\r\n"),
        "quoted-eight-bit": ("quoted-printable", b"zebraone \xe9\r\n"),
        "quoted-underscore": ("quoted-printable", b"zebra_one\r\n"),
        "quoted-long-line": ("quoted-printable", b"zebraone " * 300 + b"\r\n"),
        "unknown": ("x-nobody", text),
        "empty": ("", text),
        "uuencode": ("x-uuencode", b"begin 644 evil.exe\r\n" + binascii.b2a_uu(text[:45]).replace(b"\n", b"\r\n") + b"`\r\nend\r\n"),
        "uuencode-inside": ("7bit", b"zebraone\r\nbegin 644 evil.exe\r\n" + binascii.b2a_uu(b"MZ evil").replace(b"\n", b"\r\n") + b"`\r\nend\r\nzebratwo\r\n"),
        "uuencode-octal-of-one-digit": ("7bit", b"begin 6 evil.exe\r\n" + binascii.b2a_uu(b"MZ evil").replace(b"\n", b"\r\n") + b"`\r\nend\r\n"),
        "uuencode-in-quoted": ("quoted-printable", b"be=67in 644 evil.exe\r\n" + binascii.b2a_uu(b"MZ evil").replace(b"\n", b"\r\n") + b"`\r\nend\r\n"),
        "uuencode-in-base64": ("base64", base64.b64encode(b"begin 644 evil.exe\r\n" + binascii.b2a_uu(b"MZ evil").replace(b"\n", b"\r\n") + b"`\r\nend\r\n")),
        "yenc": ("7bit", b"=ybegin line=128 size=8 name=evil.exe\r\n\x77\x84\x4a\x8f\xa0\x93\x96\r\n=yend size=8\r\n"),
        "binhex": ("7bit", b"(This file must be converted with BinHex 4.0)\r\n\r\n:$f&bEf:\r\n"),
        "eight-bit-undeclared": ("7bit", b"zebraone \xe9 \xc3\xa9\r\n"),
        "binary": ("binary", b"zebraone\r\n" + bytes(range(1, 9)) + b"zebratwo\r\n"),
    }.items():
        trick("encoding/" + name, single(b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " + octets(encoding) + b"\r\n", content))
    two = {"base64-quoted": ("base64", "quoted-printable"), "plain-base64": ("7bit", "base64"), "base64-plain": ("base64", "7bit")}
    for name, (one, other) in two.items():
        trick("encoding/twice-" + name, single(f"Content-Type: text/plain\r\nContent-Transfer-Encoding: {one}\r\nContent-Transfer-Encoding: {other}\r\n", encoded))
    whole = body([part("Content-Type: text/plain\r\n", text), part('Content-Type: application/octet-stream; name="evil.exe"\r\n')])
    for encoding, content in (("base64", base64.encodebytes(whole).replace(b"\n", b"\r\n")), ("quoted-printable", quopri.encodestring(whole)), ("x-nobody", whole)):
        trick(f"encoding/multipart-{encoding}", single(f"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: {encoding}\r\n", content))
        trick(f"encoding/multipart-{encoding}-not-done", single(f"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: {encoding}\r\n", whole))


def nesting():
    evil = part('Content-Type: application/octet-stream; name="evil.exe"\r\nContent-Transfer-Encoding: base64\r\n', EXE)
    inner = b"From: c@outside.example\r\nSubject: inner\r\nMIME-Version: 1.0\r\n"
    mixed = inner + b"Content-Type: multipart/mixed; boundary=i\r\n\r\n" + body([part("Content-Type: text/plain\r\n", b"zebrainner\r\n"), evil], "i")
    for kind in ("message/rfc822", "Message/RFC822", "message/global", "message/news", "message/x-rfc822", "message/partial; number=1; total=1; id=x"):
        trick("nesting/" + kind.split(";")[0].lower().replace("/", "-") + ("-odd-case" if kind[0] == "M" else ""), multipart(part(f"Content-Type: {kind}\r\n", mixed)))
    for encoding, content in (("base64", base64.encodebytes(mixed).replace(b"\n", b"\r\n")), ("quoted-printable", quopri.encodestring(mixed)), ("8bit", mixed), ("x-nobody", mixed)):
        trick(f"nesting/message-{encoding}", multipart(part(f"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: {encoding}\r\n", content)))
        trick(f"nesting/message-{encoding}-outside", single(f"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: {encoding}\r\n", content))
    trick("nesting/message-base64-not-done", multipart(part("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n", mixed)))
    trick("nesting/message-outside", single("Content-Type: message/rfc822\r\n", mixed))
    trick("nesting/message-attached", multipart(part("Content-Type: message/rfc822; name=fine.eml\r\nContent-Disposition: attachment; filename=fine.eml\r\n", mixed)))
    trick("nesting/message-inline", multipart(part("Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n", mixed)))
    trick("nesting/message-in-a-digest", multipart(part("", mixed), kind="digest"))
    trick("nesting/message-with-a-blank-line-first", multipart(part("Content-Type: message/rfc822\r\n", b"\r\n" + mixed)))
    trick("nesting/message-with-a-from-line", multipart(part("Content-Type: message/rfc822\r\n", b"From x Mon Mar  2 10:00:00 2026\r\n" + mixed)))
    trick("nesting/message-without-a-header", multipart(part("Content-Type: message/rfc822\r\n", b"\r\nzebrainner\r\n")))
    trick("nesting/message-in-message", multipart(part("Content-Type: message/rfc822\r\n", inner + b"Content-Type: message/rfc822\r\n\r\n" + mixed)))
    for kind in ("alternative", "related", "signed", "report", "x-nobody", "form-data", "parallel", "appledouble", "encrypted"):
        trick("nesting/multipart-" + kind, multipart(part("Content-Type: text/plain\r\n"), evil, kind=kind))
    trick("nesting/alternative-evil-first", multipart(evil, part("Content-Type: text/plain\r\n"), kind="alternative"))
    trick("nesting/alternative-differs", multipart(part("Content-Type: text/plain\r\n"), part("Content-Type: text/html\r\n", b"<p>zebrahtml</p>"), kind="alternative"))
    trick("nesting/alternative-two-html", multipart(part("Content-Type: text/html\r\n", b"<p>zebraone</p>"), part("Content-Type: text/html\r\n", b"<p>zebratwo</p>"), kind="alternative"))
    trick("nesting/mixed-texts", multipart(part("Content-Type: text/plain\r\n"), part("Content-Type: text/plain\r\n", b"zebratwo\r\n"), part("Content-Type: text/html\r\n", b"zebrathree")))
    for depth in (5, 20, 60, 150):
        one = evil
        for level in range(depth):
            one = part(f"Content-Type: multipart/mixed; boundary=n{level}x\r\n", body([one], f"n{level}x"))
        trick(f"nesting/depth-{depth}", multipart(one))
    trick("nesting/many-parts", multipart(*[part("Content-Type: text/plain\r\n", b"x\r\n")] * 300, evil))
    trick("nesting/no-mime-version", multipart(part("Content-Type: text/plain\r\n"), evil).replace(b"MIME-Version: 1.0\r\n", b""))
    trick("nesting/mime-version-odd", multipart(part("Content-Type: text/plain\r\n"), evil).replace(b"MIME-Version: 1.0", b"MIME-Version: 7 (c)"))
    trick("nesting/multipart-in-odd-case", multipart(part("Content-Type: text/plain\r\n"), evil, header="CONTENT-TYPE: MULTIPART/Mixed; BOUNDARY=b\r\n"))
    trick("nesting/multipart-no-subtype", multipart(part("Content-Type: text/plain\r\n"), evil, header="Content-Type: multipart; boundary=b\r\n"))
    trick("nesting/multipart-comment", multipart(part("Content-Type: text/plain\r\n"), evil, header="Content-Type: multipart(c)/mixed; boundary=b\r\n"))
    trick("nesting/multipart-blanks", multipart(part("Content-Type: text/plain\r\n"), evil, header="Content-Type: multipart / mixed; boundary=b\r\n"))
    trick("nesting/multipart-blank-behind-slash", multipart(part("Content-Type: text/plain\r\n"), evil, header="Content-Type: multipart/ mixed; boundary=b\r\n"))
    trick("nesting/multipart-quoted", multipart(part("Content-Type: text/plain\r\n"), evil, header='Content-Type: "multipart/mixed"; boundary=b\r\n'))
    trick("nesting/multipart-no-semicolon", multipart(part("Content-Type: text/plain\r\n"), evil, header="Content-Type: multipart/mixed boundary=b\r\n"))
    trick("nesting/multipart-second-field", multipart(part("Content-Type: text/plain\r\n"), evil, header="Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n"))
    trick("nesting/multipart-first-field", multipart(part("Content-Type: text/plain\r\n"), evil, header="Content-Type: multipart/mixed; boundary=b\r\nContent-Type: text/plain\r\n"))
    trick("nesting/multipart-two-boundaries-in-two-fields", multipart(part("Content-Type: text/plain\r\n"), evil, header="Content-Type: multipart/mixed; boundary=a\r\nContent-Type: multipart/mixed; boundary=b\r\n"))
    trick("nesting/multipart-folded-type", multipart(part("Content-Type: text/plain\r\n"), evil, header="Content-Type: multipart/\r\n mixed; boundary=b\r\n"))
    trick("nesting/multipart-field-with-a-blank", multipart(part("Content-Type: text/plain\r\n"), evil, header="Content-Type : multipart/mixed; boundary=b\r\n"))
    trick("nesting/multipart-field-in-the-middle-of-bad-lines", multipart(part("Content-Type: text/plain\r\n"), evil, header="bad line\r\nContent-Type: multipart/mixed; boundary=b\r\n"))
    trick("nesting/multipart-undeclared", multipart(part("Content-Type: text/plain\r\n"), evil, header="X-Nothing: x\r\n"))
    trick("nesting/header-blank-line-with-a-blank", TOP + b"Content-Type: text/plain\r\n \r\n" + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body([evil]))
    trick("nesting/header-without-a-blank-line", TOP + b"zebraone stands here\r\nzebratwo\r\n")
    trick("nesting/header-bad-line-then-text", TOP + b"zebraone stands here\r\n\r\nzebratwo\r\n")
    trick("nesting/header-bare-cr-end", TOP + b"Content-Type: text/plain\r\r\nzebraone\r\n\r\nzebratwo\r\n")
    trick("nesting/header-bare-lf-end", TOP.replace(b"\r\n", b"\n") + b"\nzebraone\n")


def charsets():
    text = "zebraone und zebratwo, größer\r\n"
    for name, (charset, content) in {
        "utf8": ("utf-8", text.encode()),
        "utf8-quoted": ('"utf-8"', text.encode()),
        "utf8-bom": ("utf-8", b"\xef\xbb\xbf" + text.encode()),
        "none": ("", text.encode()),
        "latin1": ("iso-8859-1", text.encode("latin-1")),
        "latin1-undeclared": ("us-ascii", text.encode("latin-1")),
        "unknown": ("x-nobody", text.encode()),
        "unknown-eight-bit": ("unknown-8bit", text.encode()),
        "utf7": ("utf-7", b"+AHoAZQBiAHIAYQBvAG4AZQ- is hidden\r\n"),
        "utf7-imap": ("utf-7-imap", b"&AHoAZQBiAHIAYQBvAG4AZQ- is hidden\r\n"),
        "unicode-1-1-utf7": ("unicode-1-1-utf-7", b"+AHoAZQBiAHIAYQBvAG4AZQ- is hidden\r\n"),
        "utf7-as-utf8": ("utf-8", b"+AHoAZQBiAHIAYQBvAG4AZQ- is hidden\r\n"),
        "overlong": ("utf-8", b"\xc1\xbaebraone zebratwo\r\n"),
        "utf8-broken": ("utf-8", b"zebraone \xff\xfe zebratwo\r\n"),
        "surrogates": ("utf-8", b"zebraone \xed\xa0\x80 zebratwo\r\n"),
        "ebcdic": ("cp037", text.encode("cp037")),
        "ebcdic-ibm500": ("ibm500", "zebraone\r\n".encode("cp500")),
        "hz": ("hz-gb-2312", b"zebraone ~{<:Ky2;~} zebratwo\r\n"),
        "iso-2022-jp": ("iso-2022-jp", "zebraone 日本 zebratwo\r\n".encode("iso-2022-jp")),
        "iso-2022-jp-open": ("iso-2022-jp", b"zebraone \x1b$B zebratwo\r\n"),
        "iso-2022-kr": ("iso-2022-kr", b"\x1b$)Czebraone\r\n"),
        "iso-2022-cn": ("iso-2022-cn", b"zebraone\r\n"),
        "gb18030": ("gb18030", "zebraone 汉 zebratwo\r\n".encode("gb18030")),
        "shift-jis": ("shift_jis", "zebraone 日 zebratwo\r\n".encode("shift_jis")),
        "big5": ("big5", "zebraone 漢 zebratwo\r\n".encode("big5")),
        "windows-874": ("windows-874", b"zebraone \xa1\r\n"),
        "blank-in-the-label": ("utf 8", text.encode()),
        "label-with-a-comment": ("utf-8 (c)", text.encode()),
        "label-with-junk": ("utf-8?x", text.encode()),
        "x-user-defined": ("x-user-defined", b"zebraone\r\n"),
        "rot13": ("rot13", b"mroenbar\r\n"),
        "rot-13": ("rot-13", b"mroenbar\r\n"),
        "hex": ("hex", b"7a656272616f6e65"),
        "base64": ("base64", base64.b64encode(b"zebraone")),
        "zlib": ("zlib", b"zebraone"),
        "punycode": ("punycode", b"zebraone-"),
        "idna": ("idna", b"zebraone"),
        "unicode-escape": ("unicode_escape", b"\\x7aebraone zebra\\u0074wo\r\n"),
        "raw-unicode-escape": ("raw_unicode_escape", b"\\u007aebraone\r\n"),
        "html-entities": ("utf-8", b"&#122;ebraone\r\n"),
        "replacement": ("replacement", b"zebraone\r\n"),
        "nul-between": ("utf-8", b"z\x00e\x00b\x00r\x00aone zebratwo\r\n"),
        "nul-in-the-middle": ("utf-8", b"zebraone\x00\r\nzebratwo\r\n"),
        "soft-hyphens": ("utf-8", "ze\u00adbraone zebra\u200btwo\r\n".encode()),
    }.items():
        trick("charset/" + name, single(f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n", content))
    for name, charset in (("utf16", "utf-16"), ("utf16le", "utf-16le"), ("utf16be", "utf-16be"), ("utf32", "utf-32"), ("utf32le", "utf-32le"), ("ucs2", "iso-10646-ucs-2")):
        codec = {"iso-10646-ucs-2": "utf-16be"}.get(charset, charset)
        content = base64.encodebytes("zebraone, zebratwo\r\n".encode(codec)).replace(b"\n", b"\r\n")
        trick("charset/" + name, single(f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: base64\r\n", content))
    big = base64.encodebytes(b"\xfe\xff" + "zebraone, zebratwo\r\n".encode("utf-16be")).replace(b"\n", b"\r\n")
    trick("charset/utf16-big-bom", single("Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n", big))
    trick("charset/utf16-bom-in-utf8", single("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n", big))
    trick("charset/utf16le-with-the-other-bom", single("Content-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n", big))
    for name, value in {
        "twice": "charset=utf-16; charset=us-ascii",
        "twice-the-other-way": "charset=us-ascii; charset=utf-16",
        "extended": "charset*=us-ascii''utf-8",
        "pieces": "charset*0=utf; charset*1=-8",
        "plain-and-extended": "charset=us-ascii; charset*=us-ascii''utf-16",
    }.items():
        trick("charset/label-" + name, single(f"Content-Type: text/plain; {value}\r\n"))
    for name, (header, content) in {
        "meta-charset": ("text/html", b'<meta charset="utf-7"><p>+AHoAZQBiAHIAYQBvAG4AZQ-</p>'),
        "entities": ("text/html", b"<p>&#122;ebra&#x6f;ne</p>"),
        "tags-in-a-word": ("text/html", b"<p>zebra<b></b>one</p>"),
        "comment-in-a-word": ("text/html", b"<p>zebra<!-- x -->one</p>"),
        "odd-comment-end": ("text/html", b"<p>a<!--> zebraone --!> zebratwo</p>"),
        "unclosed-tag": ("text/html", b"<p>zebraone</p><a zebratwo"),
        "xhtml": ("application/xhtml+xml", b"<html><p>zebraone</p></html>"),
        "enriched": ("text/enriched", b"zebra<bold>one</bold>\r\n"),
        "declared-as-text": ("text/plain", b"<p>zebra<b></b>one</p>"),
    }.items():
        trick("html/" + name, single(f"Content-Type: {header}\r\n", content))


def two_structures():
    """One body, two sets of delimiters: whoever reads the boundary in another way finds other parts."""
    evil = part('Content-Type: application/octet-stream; name="evil.exe"\r\nContent-Transfer-Encoding: base64\r\n', EXE)
    fine = [part("Content-Type: text/plain\r\n", b"fine\r\n")]
    for name, (parameters, one, other) in {
        "blanks": ("boundary=a b", "a b", "a"),
        "blanks-quoted": ('boundary="a b"', "a b", "a"),
        "comment": ("boundary=b(c)", "b(c)", "b"),
        "comment-apart": ("boundary=b (c)", "b (c)", "b"),
        "comment-before": ("boundary=(c)b", "(c)b", "b"),
        "single-quotes": ("boundary='b'", "'b'", "b"),
        "slash": ("boundary=a/b", "a/b", "a"),
        "equals": ("boundary=a=b", "a=b", "a"),
        "comma": ("boundary=a,b", "a,b", "a"),
        "question-mark": ("boundary=a?b", "a?b", "a"),
        "colon": ("boundary=a:b", "a:b", "a"),
        "at": ("boundary=a@b", "a@b", "a"),
        "angle": ("boundary=<b>", "<b>", "b"),
        "square": ("boundary=[b]", "[b]", "b"),
        "quoted-pairs": ('boundary="x\\b\\c"', "xbc", "x\\b\\c"),
        "backslash": ("boundary=x\\b", "x\\b", "xb"),
        "text-behind-the-quote": ('boundary="a"b', "ab", "a"),
        "text-before-the-quote": ('boundary=a"b"', 'a"b"', "a"),
        "two-strings": ('boundary="a" "b"', "a", "ab"),
        "unclosed": ('boundary="b', "b", '"b'),
        "twice": ("boundary=a; boundary=b", "a", "b"),
        "in-odd-case": ("boundary=a; Boundary=b", "a", "b"),
        "extended": ("boundary=a; boundary*=us-ascii''b", "a", "b"),
        "extended-marks": ("boundary*=us-ascii''b", "us-ascii''b", "b"),
        "extended-percent": ("boundary*=us-ascii''%62c", "%62c", "bc"),
        "percent": ("boundary=%62c", "%62c", "bc"),
        "pieces": ("boundary*0=a; boundary*1=b", "ab", "a"),
        "pieces-and-plain": ("boundary=x; boundary*0=a; boundary*1=b", "x", "ab"),
        "encoded-word": ("boundary==?utf-8?q?b?=", "b", "=?utf-8?q?b?="),
        "encoded-word-quoted": ('boundary="=?utf-8?q?b?="', "b", "=?utf-8?q?b?="),
        "folded": ('boundary="a\r\n b"', "a b", "ab"),
        "folded-by-two-blanks": ('boundary="a\r\n  b"', "a  b", "a b"),
        "folded-by-tab": ('boundary="a\r\n\tb"', "a\tb", "a b"),
        "blank-at-the-start": ('boundary=" b"', " b", "b"),
        "blank-at-the-end": ('boundary="b "', "b", "b "),
        "eight-bit": (b"boundary=\xe9b", b"\xe9b", "\u00e9b"),
        "eight-bit-quoted": (b'boundary="\xe9b"', b"\xe9b", "b"),
        "nul": (b'boundary="a\x00b"', b"a\x00b", "a"),
        "case": ("boundary=Ab", "Ab", "aB"),
        "semicolon": ('boundary="a;b"', "a;b", "a"),
        "semicolon-unquoted": ("boundary=a;b", "a;b", "a"),
        "fake-in-quotes": ('x="; boundary=b; "; boundary=a', "a", "b"),
        "fake-in-a-comment": ("(; boundary=b;) boundary=a", "a", "b"),
        "first-segment": ("", "b", "c"),
        "dashes": ("boundary=b--", "b--", "b"),
        "long": ("boundary=" + "x" * 80, "x" * 80, "x" * 70),
    }.items():
        header = b"Content-Type: multipart/mixed; " + octets(parameters) + b"\r\n"
        for order, (first, second) in {"": (one, other), "-swapped": (other, one)}.items():
            # The other's delimiters stand in the preamble, in a part, and in the epilogue.
            for place, content in {
                "before": body([evil], second) + body(fine, first),
                "inside": body([fine[0] + b"\r\n" + body([evil], second)], first),
                "behind": body(fine, first) + body([evil], second),
            }.items():
                trick(f"two-structures/{name}{order}-{place}", single(header, content))


def two_types():
    """Whether a body is a multipart depends on who reads the header."""
    evil = part('Content-Type: application/octet-stream; name="evil.exe"\r\nContent-Transfer-Encoding: base64\r\n', EXE)
    whole = b"zebrapreamble\r\n" + body([part("Content-Type: text/plain\r\n"), evil])
    for name, header in {
        "type-as-parameter": "Content-Type: text/plain; multipart/mixed; boundary=b\r\n",
        "two-types": "Content-Type: text/plain multipart/mixed; boundary=b\r\n",
        "two-types-the-other-way": "Content-Type: multipart/mixed text/plain; boundary=b\r\n",
        "comma": "Content-Type: text/plain, multipart/mixed; boundary=b\r\n",
        "comma-the-other-way": "Content-Type: multipart/mixed, text/plain; boundary=b\r\n",
        "no-subtype-slash": "Content-Type: multipart/; boundary=b\r\n",
        "two-slashes": "Content-Type: multipart/mixed/x; boundary=b\r\n",
        "leading-slash": "Content-Type: /multipart/mixed; boundary=b\r\n",
        "semicolon-first": "Content-Type: ; multipart/mixed; boundary=b\r\n",
        "equals": "Content-Type: =multipart/mixed; boundary=b\r\n",
        "angle": "Content-Type: <multipart/mixed>; boundary=b\r\n",
        "nul": b"Content-Type: multi\x00part/mixed; boundary=b\r\n",
        "vertical-tab": b"Content-Type: \x0bmultipart/mixed; boundary=b\r\n",
        "no-break-space": b"Content-Type:\xc2\xa0multipart/mixed; boundary=b\r\n",
        "encoded-word": "Content-Type: =?utf-8?q?multipart/mixed?=; boundary=b\r\n",
        "encoded-word-whole": "Content-Type: =?utf-8?q?multipart/mixed=3B_boundary=3Db?=\r\n",
        "comment-before": "Content-Type: (c) multipart/mixed; boundary=b\r\n",
        "comment-behind": "Content-Type: multipart/mixed (c); boundary=b\r\n",
        "comment-with-a-type": "Content-Type: (text/plain;) multipart/mixed; boundary=b\r\n",
        "underscore": "Content_Type: multipart/mixed; boundary=b\r\n",
        "tab-before-the-colon": "Content-Type\t: multipart/mixed; boundary=b\r\n",
        "fold-before-the-colon": "Content-Type\r\n : multipart/mixed; boundary=b\r\n",
        "blank-before-the-name": " Content-Type: multipart/mixed; boundary=b\r\n",
        "nul-behind-the-name": b"Content-Type\x00: multipart/mixed; boundary=b\r\n",
        "in-the-field-above": "X-Field: x\r\n Content-Type: multipart/mixed; boundary=b\r\n",
        "behind-a-bare-cr": b"X-Field: x\rContent-Type: multipart/mixed; boundary=b\r\n",
        "behind-a-vertical-tab": b"X-Field: x\x0bContent-Type: multipart/mixed; boundary=b\r\n",
        "behind-a-nel": b"X-Field: x\xc2\x85Content-Type: multipart/mixed; boundary=b\r\n",
        "behind-a-line-separator": "X-Field: x\u2028Content-Type: multipart/mixed; boundary=b\r\n",
        "behind-a-form-feed": b"X-Field: x\x0cContent-Type: multipart/mixed; boundary=b\r\n",
        "behind-a-group-separator": b"X-Field: x\x1dContent-Type: multipart/mixed; boundary=b\r\n",
        "behind-a-blank-line-of-blanks": "X-Field: x\r\n \t\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        "behind-a-bad-line": "no field at all\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        "behind-a-from-line": "From nobody Mon Mar  2 10:00:00 2026\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        "behind-a-quoted-from-line": ">From nobody Mon Mar  2 10:00:00 2026\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        "message-with-a-boundary": "Content-Type: message/rfc822; boundary=b\r\n",
        "text-with-a-boundary": "Content-Type: text/plain; boundary=b\r\n",
        "no-type-but-a-boundary": "Content-Type: boundary=b\r\n",
        "digest": "Content-Type: multipart/digest; boundary=b\r\n",
        "form-data": "Content-Type: multipart/form-data; boundary=b\r\n",
        "byteranges": "Content-Type: multipart/byteranges; boundary=b\r\n",
        "http": "Content-Type: message/http\r\n",
    }.items():
        trick("two-types/" + name, single(header, whole))
        inner = octets(header) + b"\r\n" + whole.replace(b"--b", b"--i")
        trick("two-types/inner-" + name, multipart(part("Content-Type: text/plain\r\n", b"fine\r\n"), inner.replace(b"boundary=b", b"boundary=i").replace(b"boundary=3Db", b"boundary=3Di")))


def fields():
    """Fields of a part that only some readers find."""
    encoded = base64.b64encode(b"zebraone and zebratwo stand here\r\n")
    for name, header in {
        "blank-before-the-colon": b"Content-Transfer-Encoding : base64\r\n",
        "tab-before-the-colon": b"Content-Transfer-Encoding\t: base64\r\n",
        "no-blank": b"Content-Transfer-Encoding:base64\r\n",
        "fold": b"Content-Transfer-Encoding:\r\n\tbase64\r\n",
        "fold-twice": b"Content-Transfer-Encoding:\r\n \r\n base64\r\n",
        "fold-inside": b"Content-Transfer-Encoding: base\r\n 64\r\n",
        "comment-inside": b"Content-Transfer-Encoding: base(c)64\r\n",
        "quoted": b'Content-Transfer-Encoding: "base64"\r\n',
        "continuation": b"X-Field: x\r\n Content-Transfer-Encoding: base64\r\n",
        "behind-a-bad-line": b"no field\r\nContent-Transfer-Encoding: base64\r\n",
        "behind-a-vertical-tab": b"X-Field: x\x0bContent-Transfer-Encoding: base64\r\n",
        "behind-a-nel": b"X-Field: x\xc2\x85Content-Transfer-Encoding: base64\r\n",
        "behind-a-file-separator": b"X-Field: x\x1cContent-Transfer-Encoding: base64\r\n",
        "underscores": b"Content_Transfer_Encoding: base64\r\n",
        "nul": b"Content-Transfer-\x00Encoding: base64\r\n",
        "upper-case": b"CONTENT-TRANSFER-ENCODING: BASE64\r\n",
        "two-values": b"Content-Transfer-Encoding: base64 7bit\r\n",
        "two-values-the-other-way": b"Content-Transfer-Encoding: 7bit base64\r\n",
        "semicolon": b"Content-Transfer-Encoding: 7bit; base64\r\n",
        "empty-first": b"Content-Transfer-Encoding:\r\nContent-Transfer-Encoding: base64\r\n",
        "no-break-space": b"Content-Transfer-Encoding: base64\xc2\xa0\r\n",
        "dot": b"Content-Transfer-Encoding: base64.\r\n",
        "full-width": "Content-Transfer-Encoding: base\uff16\uff14\r\n".encode(),
        "dotless-i": "Content-Transfer-Encodıng: base64\r\n".encode(),
        "kelvin": "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable; \u212a\r\n".encode(),
        "parameter": b"Content-Type: text/plain; content-transfer-encoding=base64\r\n",
    }.items():
        trick("field/" + name, single(b"X-First: x\r\n" + header, encoded))
        trick("field/part-" + name, multipart(part(b"X-First: x\r\n" + header, encoded)))
    for name, header in {
        "upper-case": 'CONTENT-DISPOSITION: ATTACHMENT; FILENAME="evil.exe"\r\n',
        "blank-before-the-colon": 'Content-Disposition : attachment; filename="evil.exe"\r\n',
        "continuation": 'X-Field: x\r\n Content-Disposition: attachment; filename="evil.exe"\r\n',
        "behind-a-bad-line": 'no field\r\nContent-Disposition: attachment; filename="evil.exe"\r\n',
        "fold-twice": 'Content-Disposition: attachment;\r\n\t\r\n filename="evil.exe"\r\n',
        "empty-first": 'Content-Disposition:\r\nContent-Disposition: attachment; filename="evil.exe"\r\n',
        "only-quotes": 'Content-Disposition: ""; filename="evil.exe"\r\n',
        "name-of-many-parameters": "Content-Disposition: attachment" + "".join(f"; x{number}=y" for number in range(1200)) + "; filename=evil.exe\r\n",
        "long-line": "Content-Disposition: attachment; x=" + "y" * 70_000 + "; filename=evil.exe\r\n",
        "behind-a-vertical-tab": 'X-Field: x\x0bContent-Disposition: attachment; filename="evil.exe"\r\n',
        "behind-a-nel": 'X-Field: x\x85Content-Disposition: attachment; filename="evil.exe"\r\n',
        "many-fields-before": "X: y\r\n" * 2000 + 'Content-Disposition: attachment; filename="evil.exe"\r\n',
    }.items():
        trick("field/disposition-" + name, attachment("Content-Type: application/octet-stream\r\n" + header))


def pages():
    """Words that HTML hides in its source."""
    for name, content in {
        "entity-without-semicolon": "<p>&#122ebraone</p>",
        "entity-hex-upper": "<p>&#X7A;ebraone</p>",
        "entity-zeros": "<p>&#0000000122;ebraone</p>",
        "entity-in-a-row": "<p>" + "".join(f"&#{ord(letter)};" for letter in "zebraone") + "</p>",
        "named-entities": "<p>zebra&shy;one zebra&zwnj;two zebra&NoBreak;three</p>",
        "wbr": "<p>zebra<wbr>one</p>",
        "line-break": "<p>zebra<br>one zebra\r\none</p>",
        "inline-blocks": "<p>zebra<span>o</span><i>n</i><font size=1>e</font></p>",
        "empty-tags": "<p>zebra<b/>one zebra<x:y>two</x:y></p>",
        "unknown-tags": "<p>zebra<zz qq=1>one</zz></p>",
        "broken-tags": "<p>zebra<b one</p><p>zebratwo</p>",
        "quote-in-a-tag": "<p title='>'>zebraone</p><p title=\">\">zebratwo</p>",
        "unclosed-quote": '<p title="x>zebraone</p><p>zebratwo</p>',
        "comment-plain": "<p>zebra<!---->one</p>",
        "comment-with-dashes": "<p>a<!-- -- > --> zebraone</p>",
        "comment-unclosed": "<p>zebraone</p><!-- zebratwo",
        "comment-short": "<p>a<!-->zebraone<!--->zebratwo</p>",
        "comment-bang": "<p>a<!x>zebraone<?y>zebratwo</p>",
        "comment-end-bang": "<p>a<!-- x --!>zebraone</p>",
        "conditional": "<!--[if mso]><p>zebraone</p><![endif]--><![if !mso]><p>zebratwo</p><![endif]>",
        "cdata": "<p><![CDATA[zebraone]]> zebratwo</p>",
        "script": "<script>zebra</script><p>zebraone</p>",
        "style": "<style>p { content: 'zebra' }</style><p>zebraone</p>",
        "style-unclosed": "<p>zebraone</p><style>p {} <p>zebratwo</p>",
        "textarea": "<textarea><p>zebraone</p></textarea>",
        "title": "<title>zebraone</title><p>zebratwo</p>",
        "noscript": "<noscript><p>zebraone</p></noscript>",
        "template": "<template><p>zebraone</p></template><p>zebratwo</p>",
        "plaintext": "<plaintext>zebra<b>one</b>",
        "xmp": "<xmp>zebra<b>one</b></xmp>",
        "noembed": "<noembed>zebraone</noembed> <noframes>zebratwo</noframes>",
        "iframe": "<iframe>zebraone</iframe>",
        "attributes": '<img alt="zebraone" src="x"><a href="http://zebratwo.example/">x</a>',
        "placeholder": '<input placeholder="zebraone" value="zebratwo">',
        "svg": "<svg><text>zebraone</text></svg><math><mi>zebratwo</mi></math>",
        "nul": "<p>zebra\0one</p>",
        "uppercase": "<P>ZEBRA<B></B>ONE</P><P>zebraone",
        "doctype": "<!DOCTYPE html PUBLIC 'zebra>'><p>zebraone</p>",
        "body-twice": "<body><p>zebraone</p></body></html><html><body><p>zebratwo</p></body>",
        "behind-the-end": "<html><body></body></html>zebraone",
        "tag-in-a-word": "ze<bra>zebraone",
        "less-than": "<p>1 < 2 zebraone <3 zebratwo</p>",
        "end-tags-only": "</p></div>zebra</b>one",
        "ideographic": "<p>zebra\u3000one zebra\u200bone</p>",
    }.items():
        trick("page/" + name, single("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", content.encode()))


def outer():
    """Messages that are odd from their first line on."""
    text = b"Content-Type: text/plain\r\n"
    for name, message in {
        "no-header": b"\r\nzebraone\r\n",
        "only-text": b"zebraone and zebratwo\r\n",
        "only-a-header": TOP + text,
        "blank-first": b"\r\n" + TOP + text + b"\r\nzebraone\r\n",
        "blanks-first": b" \r\n" + TOP + text + b"\r\nzebraone\r\n",
        "continuation-first": b" x\r\n" + TOP + text + b"\r\nzebraone\r\n",
        "from-line-first": b"From a@b Mon Mar  2 10:00:00 2026\r\n" + TOP + text + b"\r\nzebraone\r\n",
        "quoted-from-line-first": b">From a@b Mon Mar  2 10:00:00 2026\r\n" + TOP + text + b"\r\nzebraone\r\n",
        "bom-first": b"\xef\xbb\xbf" + TOP + text + b"\r\nzebraone\r\n",
        "separator-of-blanks": TOP + text + b" \t \r\nzebraone\r\n\r\nzebratwo\r\n",
        "separator-of-a-cr": TOP + text + b"\r\r\nzebraone\r\n\r\nzebratwo\r\n",
        "separator-of-a-vertical-tab": TOP + text + b"\x0b\r\nzebraone\r\n\r\nzebratwo\r\n",
        "separator-of-a-nul": TOP + text + b"\x00\r\nzebraone\r\n\r\nzebratwo\r\n",
        "no-separator": TOP + text + b"zebraone stands here\r\n\r\nzebratwo\r\n",
        "end-of-file-character": TOP + text + b"\r\nfine\r\n\x1azebraone\r\n",
        "dot-line": TOP + text + b"\r\nfine\r\n.\r\nzebraone\r\n",
        "signature-line": TOP + text + b"\r\nfine\r\n-- \r\nzebraone\r\n",
        "from-line-inside": TOP + text + b"\r\nfine\r\n\r\nFrom a@b Mon Mar  2 10:00:00 2026\r\nSubject: x\r\n\r\nzebraone\r\n",
        "forwarded-inline": TOP + text + b"\r\n------- Forwarded Message\r\n\r\nSubject: x\r\n\r\nzebraone\r\n",
        "long-body-line": TOP + text + b"\r\n" + b"x" * 15_000 + b" zebraone\r\n",
        "long-header-line": TOP + b"X-Long: " + b"x" * 50_000 + b"\r\n" + text + b"\r\nzebraone\r\n",
        "many-fields": TOP + b"X: y\r\n" * 900 + text + b"\r\nzebraone\r\n",
        "subject-in-the-body": TOP + text + b"\r\nContent-Type: text/html\r\n\r\n<p>zebra<b></b>one</p>\r\n",
    }.items():
        trick("outer/" + name, message)


for family in (names, rfc2231, encoded_words, types, boundaries, encodings, nesting, charsets, two_structures, two_types, fields, pages, outer):
    family()
