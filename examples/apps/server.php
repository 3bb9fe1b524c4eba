<?php
// A small HTTP server in one process, for examples/managed-apps.toml: `php server.php SOCKET`.
// Real ones are Workerman and Swoole, which take a Unix socket in the same way.

$server = stream_socket_server("unix://$argv[1]", $code, $problem);
if (!$server) {
    fwrite(STDERR, "cannot listen on $argv[1]: $problem\n");
    exit(1);
}
$clients = [];
$received = [];
while (true) {
    $readable = [$server, ...$clients];
    $none = null;
    if (!@stream_select($readable, $none, $none, null)) {
        continue;
    }
    foreach ($readable as $stream) {
        if ($stream === $server) {
            if ($client = @stream_socket_accept($server, 0)) {
                stream_set_blocking($client, false);
                $clients[(int) $client] = $client;
                $received[(int) $client] = '';
            }
            continue;
        }
        $bytes = fread($stream, 65536);
        if ($bytes === '' || $bytes === false) {
            unset($clients[(int) $stream], $received[(int) $stream]);
            fclose($stream);
            continue;
        }
        $received[(int) $stream] = answer($stream, $received[(int) $stream] . $bytes);
    }
}

/** Answers each request that has come whole, and returns the rest. */
function answer($client, string $bytes): string
{
    while (($end = strpos($bytes, "\r\n\r\n")) !== false) {
        $head = substr($bytes, 0, $end + 4);
        $length = preg_match('/^content-length: *(\d+)/im', $head, $found) ? (int) $found[1] : 0;
        if (strlen($bytes) < strlen($head) + $length) {
            break;
        }
        $text = 'Hello from PHP ' . getenv('FAIRWATER_INDEX') . ', process ' . getmypid() . ".\n";
        fwrite($client, "HTTP/1.1 200 OK\r\nContent-Length: " . strlen($text) . "\r\n\r\n$text");
        $bytes = substr($bytes, strlen($head) + $length);
    }
    return $bytes;
}
