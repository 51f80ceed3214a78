# A Net::SIP callee: registers with digest, answers, echoes sound, ends when it is hung up on.
use strict;
use warnings;
use Net::SIP qw(:all);
my ($server, $port, $user, $password) = @ARGV;
$| = 1;
my $leg = Net::SIP::Leg->new(addr => '127.0.0.1', port => $port, proto => 'udp');
my $ua = Net::SIP::Simple->new(
    outgoing_proxy => $server,
    registrar      => $server,
    domain         => 'example.com',
    from           => "sip:$user\@example.com",
    auth           => [$user, $password],
    legs           => [$leg],
);
my $expires = $ua->register(expires => 60);
print "registered ", (defined $expires ? $expires : 'no: ' . $ua->error), "\n";
my $done;
$ua->listen(init_media => $ua->rtp('media_recv_echo'), recv_bye => \$done);
print "listening\n";
$ua->loop(40, \$done);
print "saw bye ", ($done ? 1 : 0), "\n";
exit($done ? 0 : 1);
