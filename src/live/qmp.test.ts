import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { monitorPath, openMonitor } from './qmp.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-monitor-'));
after(() => rmSync(folder, { recursive: true }));

test('the socket of a monitor is found in the command line', () => {
  const path = (line: string) => monitorPath(line.split(' '));
  assert.equal(path('qemu -qmp unix:/run/a.sock,server=on,wait=off'), '/run/a.sock');
  assert.equal(path('qemu --qmp unix:b,,c.sock,server'), 'b,c.sock');
  assert.equal(path('qemu -chardev socket,id=m,path=/x,server=on -mon chardev=m,mode=control'), '/x');
  assert.equal(path('qemu -mon mode=control,chardev=m -chardev socket,path=/x,id=m'), '/x');
  assert.equal(path('qemu -chardev socket,id=m,path=/x -mon chardev=m,mode=readline'), undefined);
  assert.equal(
    path('qemu -chardev socket,id=charmonitor,fd=33,server=on -mon chardev=charmonitor,mode=control'),
    undefined,
  );
  assert.equal(path('qemu -qmp tcp:example.org:4444,server=on'), undefined);
  assert.equal(path('qemu -qmp'), undefined);
});

/** A server in the place of QEMU; gives what it was sent. */
async function server(
  name: string,
  greet: (socket: Socket) => void,
): Promise<{ path: string; sent: () => string; end(): void }> {
  let sent = '';
  const path = join(folder, name);
  const sockets: Socket[] = [];
  const listener = createServer((socket) => {
    sockets.push(socket);
    socket.on('data', (data) => {
      sent += data;
    });
    socket.on('error', () => {});
    greet(socket);
  });
  await new Promise<void>((resolve) => listener.listen(path, resolve));
  const end = () => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  };
  return { path, sent: () => sent, end };
}

test('whoever does not greet as QEMU does is told nothing', async () => {
  for (const [greeting, sentence] of [
    ['HTTP/1.1 400 Bad Request\r\n', /it does not speak QMP/],
    [`${'x'.repeat(17 << 20)}`, /it sends more than an answer/],
    ['{"hello": 1}\n', /it does not greet/],
    ['{"QMP": \n', /it does not speak QMP/],
  ] as const) {
    const { path, sent, end } = await server('stranger', (socket) => void socket.write(greeting));
    await assert.rejects(openMonitor({ socket: path }), sentence);
    assert.equal(sent(), '');
    end();
  }
  await assert.rejects(openMonitor({ socket: join(folder, 'nosuch') }), /ENOENT/);
});

test("a libvirt guest's monitor is reached through virsh, whatever the guest is called", async () => {
  const script = join(folder, 'virsh');
  writeFileSync(
    script,
    '#!/bin/sh\nprintf \'{"return": {"arguments": "%s"}}\' "$(printf "%s|" "$@" | sed \'s/"/\\\\"/g\')"\n',
  );
  chmodSync(script, 0o755);
  const before = process.env.PATH;
  process.env.PATH = `${folder}:${before}`;
  try {
    const monitor = await openMonitor({ domain: '--help $(x); y' });
    assert.deepEqual(await monitor.execute('query-status'), {
      arguments:
        '--quiet|qemu-monitor-command|--domain=--help $(x); y|--cmd={"execute":"query-status","arguments":{}}|',
    });
  } finally {
    process.env.PATH = before;
  }
});
