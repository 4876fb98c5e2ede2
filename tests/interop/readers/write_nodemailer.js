// Messages with attachments of the names on standard input (JSON), as npm's nodemailer writes them: a list of base64 on standard output.
'use strict';

const nodemailer = require(process.argv[2]);

async function main() {
    const pieces = [];
    for await (const piece of process.stdin) pieces.push(piece);
    const transport = nodemailer.createTransport({ streamTransport: true, buffer: true, newline: 'windows' });
    const messages = [];
    for (const name of JSON.parse(Buffer.concat(pieces))) {
        const sent = await transport.sendMail({
            from: 'Jürgen Müller <juergen@outside.example>',
            to: 'b@inside.example',
            subject: 'Grüße, ' + name,
            text: 'Grüße\n',
            html: '<p>Grüße</p>',
            attachments: [{ filename: name, content: 'content' }],
        });
        // As its SMTP transport would send it.
        messages.push(Buffer.from(sent.message.toString().replace(/\r?\n/g, '\r\n')).toString('base64'));
    }
    process.stdout.write(JSON.stringify(messages));
}

main();
