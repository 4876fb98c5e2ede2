# Messages with attachments of the names on standard input (JSON), as Perl's MIME-tools writes them: a list of base64 on standard output.
use strict;
use warnings;

use Encode qw(encode);
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use MIME::Entity ();

sub written {
    my ($name) = @_;
    # As its manual says: what is not ASCII has to be encoded by the program itself.
    $name = encode('MIME-Q', $name) if $name =~ /[^\x00-\x7f]/;
    $name =~ s/[\r\n]+\s*/ /g;
    my $message = MIME::Entity->build(
        Type => 'multipart/mixed', From => 'a@outside.example', To => 'b@inside.example', Subject => 'a file', Date => 'Mon, 2 Mar 2026 10:00:00 +0000');
    $message->attach(Data => "text\n", Type => 'text/plain', Charset => 'utf-8', Encoding => 'quoted-printable');
    $message->attach(Data => 'content', Type => 'application/octet-stream', Filename => $name, Encoding => 'base64', Disposition => 'attachment');
    (my $text = $message->stringify) =~ s/\r?\n/\r\n/g;
    return encode_base64($text, '');
}

local $/;
my $names = JSON::PP->new->utf8->decode(<STDIN>);
print JSON::PP->new->ascii->encode([map { written($_) } @$names]);
