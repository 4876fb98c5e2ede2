# What Perl's MIME-tools shows of messages. Input and output as in read_python.py.
use strict;
use warnings;

use Encode ();
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use MIME::Parser ();

sub text_of {
    my ($part, $head) = @_;
    my $bytes = $part->bodyhandle->as_string;
    my $charset = $head->mime_attr('content-type.charset') // 'utf-8';
    my $encoding = Encode::find_encoding($charset) // Encode::find_encoding('utf-8');
    my $text = eval { $encoding->decode($bytes, Encode::FB_DEFAULT) };
    return defined $text ? $text : Encode::decode('iso-8859-1', $bytes);
}

# Names come out decoded, some as octets; what does not decode stands there as an escape of Perl's.
sub as_characters {
    my ($name) = @_;
    my $text = utf8::is_utf8($name) ? $name : Encode::decode('utf-8', $name, Encode::FB_DEFAULT);
    $text =~ s/\\x(?:\{[0-9A-Fa-f]+\}|[0-9A-F]{2})/\x{fffd}/g;
    return $text;
}

sub look {
    my ($message) = @_;
    my %shown = (names => [], texts => [], attachments => 0);
    my $parser = MIME::Parser->new;
    $parser->output_to_core(1);
    $parser->tmp_to_core(1);
    my $entity = eval { $parser->parse_data($message) } or return \%shown;
    for my $part ($entity->parts_DFS) {
        my $head = $part->head;
        my $name = eval { $head->recommended_filename };
        push @{ $shown{names} }, as_characters($name) if defined $name && length $name;
        my $attached = lc($head->mime_attr('content-disposition') // '') eq 'attachment';
        $shown{attachments}++ if $attached;
        push @{ $shown{texts} }, text_of($part, $head) if $part->bodyhandle && !$attached && $part->effective_type =~ m{^text/}i;
    }
    return \%shown;
}

local $SIG{__WARN__} = sub { };
local $/;
my @shown = map { look(decode_base64($_)) } @{ JSON::PP::decode_json(<STDIN>) };
print JSON::PP->new->ascii->allow_nonref->encode(\@shown);
