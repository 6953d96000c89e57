import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Guest, until } from '../../test/guest.ts';
import { main, virtap } from '../../test/recording.ts';
import { needs } from '../../test/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-top-'));
after(() => rmSync(folder, { recursive: true }));

test(
  'on a terminal it is redrawn until q, and leaves the terminal as it was',
  needs('QEMU', 'KVM', 'permission to trace', 'script'),
  async () => {
    const guest = Guest.kvm(folder, 60000);
    let child: ChildProcessWithoutNullStreams | undefined;
    try {
      await guest.ready();
      const line = `stty rows 30 cols 90; exec ${process.execPath} ${main} top -p ${guest.pid} -d 100ms`;
      // A pseudo-terminal.
      child = spawn('script', ['-qfec', line, '/dev/null'], { env: { ...process.env, TERM: 'xterm-256color' } });
      let text = '';
      child.stdout.on('data', (chunk) => {
        text += chunk;
      });
      await until('a frame', () => text.includes('\x1b[H'));
      guest.begin();
      await until('the events on the screen', () => /kvm:kvm_userspace_exit +[\d,.]+\/s/.test(text));
      child.stdin.write('m');
      await until('another frame', () => (text.match(/\x1b\[H/g)?.length ?? 0) > 5);
      child.stdin.write('q');
      const [status] = await once(child, 'close');
      assert.equal(status, 0, text.slice(-500));
      assert.ok(text.startsWith('\x1b[?1049h\x1b[?25l'));
      assert.ok(text.endsWith('\x1b[?7h\x1b[?25h\x1b[?1049l'), JSON.stringify(text.slice(-100)));
      for (const frame of text.split('\x1b[H').slice(1)) assert.ok(frame.split('\r\n').length <= 30);
    } finally {
      child?.kill('SIGKILL');
      guest.end();
    }
  },
);

test('without a terminal it says what to do instead', needs('permission to trace'), async () => {
  const { status, stderr } = await virtap('top');
  assert.equal(status, 2);
  assert.match(stderr, /^virtap: top draws on a terminal; into a pipe or file: virtap exits --live --interval 1s\n$/);
});
