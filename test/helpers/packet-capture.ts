/** A capture of the packets on loopback, for who may have one: payload bytes of TCP by direction, resent ones once. */
import { spawn } from 'node:child_process';

export interface Capture {
  end(): Promise<{ upBytes: number; downBytes: number }>;
}

/** Python's standard library reads AF_PACKET; Node's does not. Loopback shows each packet as going out and coming in. */
const SCRIPT = `
import select, signal, socket, struct, sys
port = int(sys.argv[1])
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
tap.bind(("lo", 0))
tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
up = {}
down = {}
# At the signal the socket may still hold packets: they are counted before the end.
signal.signal(signal.SIGTERM, lambda *_: tap.setblocking(False))
wake, waker = socket.socketpair()
waker.setblocking(False)
signal.set_wakeup_fd(waker.fileno())
def frames():
    while True:
        ready = select.select([tap, wake], [], [])[0] if tap.getblocking() else [tap]
        if tap not in ready:
            continue
        try:
            yield tap.recvfrom(1 << 17)
        except BlockingIOError:
            return
print("ready", flush=True)
for frame, address in frames():
    if address[2] == socket.PACKET_OUTGOING or len(frame) < 54 or frame[12:14] != b"\\x08\\x00" or frame[23] != 6:
        continue
    start = 14 + (frame[14] & 15) * 4
    source, target, sequence = struct.unpack("!HHI", frame[start:start + 8])
    size = struct.unpack("!H", frame[16:18])[0] - (start - 14) - (frame[start + 12] >> 4) * 4
    flows, key = (up, source) if target == port else (down, target) if source == port else (None, 0)
    if flows is None or size <= 0:
        continue
    seen, reached = flows.get(key, (0, sequence))
    fresh = (sequence + size - reached) & 0xffffffff
    if 0 < fresh <= size or fresh < 1 << 31:
        flows[key] = (seen + min(size, fresh), (sequence + size) & 0xffffffff)
total = lambda flows: sum(seen for seen, _ in flows.values())
print(total(up), total(down), flush=True)
`;

/** `undefined` where nobody may capture: without root or Python. The port is the server's. */
export async function capturePayload(port: number): Promise<Capture | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const child = spawn('/usr/bin/python3', ['-c', SCRIPT, String(port)], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let output = '';
  const ready = new Promise<boolean>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      resolve(true);
    });
    child.once('error', () => resolve(false));
    child.once('close', () => resolve(false));
  });
  if (!(await ready)) return undefined;
  return {
    async end() {
      const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
      child.kill('SIGTERM');
      await closed;
      const [upBytes = 0, downBytes = 0] = output.trim().split('\n').at(-1)?.split(' ').map(Number) ?? [];
      return { upBytes, downBytes };
    },
  };
}
