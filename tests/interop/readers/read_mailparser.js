// What npm's mailparser shows of messages. Input and output as in read_python.py.
'use strict';

const { simpleParser } = require(process.argv[2]);

async function look(message) {
    try {
        const mail = await simpleParser(Buffer.from(message, 'base64'));
        return {
            names: mail.attachments.map(one => one.filename).filter(Boolean),
            texts: [mail.text, mail.html].filter(Boolean),
            attachments: mail.attachments.length,
        };
    } catch (error) {
        return { names: [], texts: [], attachments: 0 };
    }
}

async function main() {
    const pieces = [];
    for await (const piece of process.stdin) pieces.push(piece);
    const shown = [];
    for (const message of JSON.parse(Buffer.concat(pieces))) shown.push(await look(message));
    process.stdout.write(JSON.stringify(shown));
}

main();
