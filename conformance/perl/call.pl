# A Net::SIP caller: registers with digest, calls, sends sound, hangs up. Prints one line per step.
use strict;
use warnings;
use Net::SIP qw(:all);
my ($server, $port, $user, $password, $to, $sound) = @ARGV;
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
my ($up, $down);
my $call = $ua->invite($to, init_media => $ua->rtp('send_recv', $sound), cb_final => sub { $up = $_[0] })
    or die "no call: " . $ua->error . "\n";
$ua->loop(10, \$up);
print "established ", ($up // 'no'), "\n";
$ua->loop(1);
$call->bye(cb_final => \$down);
$ua->loop(10, \$down);
print "bye answered ", ($down ? 1 : 0), "\n";
exit(($up // '') eq 'OK' && $down ? 0 : 1);
