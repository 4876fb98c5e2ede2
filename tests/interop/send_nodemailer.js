// One message by nodemailer, logged in over STARTTLS. Usage: send_nodemailer.js PORT CA USER PASSWORD FROM TO
const fs = require('fs');
const path = require('path');
const nodemailer = require(path.join(process.cwd(), 'target/tools/npm/node_modules/nodemailer'));
const [port, ca, user, pass, from, to] = process.argv.slice(2);
const transport = nodemailer.createTransport({
  host: 'localhost', port: Number(port), secure: false, requireTLS: true, tls: { ca: fs.readFileSync(ca) }, auth: { user, pass },
});
transport.sendMail({ from, to, subject: 'hi', text: 'Hello.\n' }).then(() => transport.close(), (error) => {
  console.error(error);
  process.exit(1);
});
