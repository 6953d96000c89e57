import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const scratch = mkdtempSync(join(tmpdir(), 'virtap-serve-test-'));
const started: ChildProcess[] = [];
after(() => {
  for (const child of started) child.kill('SIGKILL');
  rmSync(scratch, { recursive: true });
});

// The page itself is another test's: web/e2e.
const pageIsBuilt = spawnSync(join(root, 'virtap'), ['serve', '--help'], { encoding: 'utf8' }).status === 0;

type Served = { child: ChildProcess; ask: (path: string) => Promise<Response>; errors: () => string };

async function serve(file: string, env: Record<string, string>): Promise<Served> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), 'serve', file], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.push(child);
  let errors = '';
  child.stderr.on('data', (text) => {
    errors += text;
  });
  const printed = await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => [''])]);
  const address = /http:\S+/.exec(String(printed[0]))?.[0];
  assert.ok(address !== undefined, errors);
  const { origin, searchParams } = new URL(address);
  const token = searchParams.get('token');
  return {
    child,
    ask: (path) => fetch(`${origin}${path}${path.includes('?') ? '&' : '?'}token=${token}`),
    errors: () => errors,
  };
}

async function end({ child }: Served): Promise<void> {
  child.kill('SIGINT');
  await once(child, 'exit');
}

function recording(): string {
  const file = join(mkdtempSync(join(scratch, 'of-')), 'trace.dat');
  copyFileSync(join(root, 'samples/host-kvm.dat'), file);
  return file;
}

const all = '/api/exits?from=0&to=100000000000';

test('a damaged index is made again, when it is opened and when it is asked', { skip: !pageIsBuilt }, async () => {
  const file = recording();
  const cache = join(scratch, 'cache');
  const first = await serve(file, { XDG_CACHE_HOME: cache });
  const truth = await (await first.ask(all)).text();
  assert.match(truth, /"reason":"msr"/);
  const [name] = readdirSync(join(cache, 'virtap/serve'));
  const index = join(cache, 'virtap/serve', name as string);
  // While it is in use.
  truncateSync(join(index, 'exits'), 100);
  assert.equal(await (await first.ask(all)).text(), truth);
  await end(first);
  const damages: [string, () => void][] = [
    ['no exits', () => rmSync(join(index, 'exits'))],
    ['few exits', () => truncateSync(join(index, 'exits'), 24)],
    ['other exits', () => writeFileSync(join(index, 'exits'), Buffer.alloc(1 << 22, 255))],
    ['half of the facts', () => truncateSync(join(index, 'index.json'), 1000)],
    ['no facts', () => writeFileSync(join(index, 'index.json'), '{}')],
  ];
  for (const [what, damage] of damages) {
    damage();
    const again = await serve(file, { XDG_CACHE_HOME: cache });
    const answers = await Promise.all([again.ask(all), again.ask(all), again.ask(all)]);
    for (const answer of answers) assert.equal(await answer.text(), truth, what);
    assert.doesNotMatch(again.errors(), / at /, what);
    await end(again);
  }
});

test('without a cache it answers the same', { skip: !pageIsBuilt }, async () => {
  const file = recording();
  const nowhere = join(scratch, 'a file');
  writeFileSync(nowhere, '');
  const open = join(scratch, 'open');
  mkdirSync(join(open, 'virtap/serve'), { recursive: true });
  chmodSync(join(open, 'virtap/serve'), 0o777);
  for (const cache of [nowhere, '/proc/nowhere', open]) {
    const served = await serve(file, { XDG_CACHE_HOME: cache });
    assert.match(await (await served.ask(all)).text(), /"reason":"msr"/);
    assert.doesNotMatch(served.errors(), / at /);
    await end(served);
  }
  assert.deepEqual(readdirSync(join(open, 'virtap/serve')), []);
});

test('an exit that is not there is said so, and leaves nothing open', { skip: !pageIsBuilt }, async () => {
  const served = await serve(recording(), { XDG_CACHE_HOME: join(scratch, 'cache') });
  const open = () => readdirSync(`/proc/${served.child.pid}/fd`).length;
  const ask = () => served.ask('/api/exit?begin=999999999999&duration=5&tid=1');
  await ask();
  const before = open();
  for (let n = 0; n < 5; n++) {
    const answer = await ask();
    assert.equal(answer.status, 404);
    assert.match(await answer.text(), /there is nothing in that stretch of time/);
  }
  assert.ok(open() <= before + 1, `${before} and then ${open()}`);
  await end(served);
});

test('a pipe in the place of the file freezes nothing', { skip: !pageIsBuilt, timeout: 60_000 }, async () => {
  const file = recording();
  const served = await serve(file, { XDG_CACHE_HOME: join(scratch, 'cache') });
  const truth = await (await served.ask(all)).text();
  renameSync(file, `${file}.old`);
  spawnSync('mkfifo', [file]);
  const answer = await served.ask('/api/exit?begin=5&duration=5&tid=1');
  assert.equal(answer.status, 404);
  assert.match(await answer.text(), /is no file/);
  assert.equal(await (await served.ask(all)).text(), truth);
  await end(served);
  const refused = spawnSync(process.execPath, [join(import.meta.dirname, 'main.ts'), 'serve', file], {
    encoding: 'utf8',
  });
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /^virtap: .* is no file; expected one that can be read again and again\n$/);
});

test('folders for temporary files and caches that are not there are said in a sentence', { skip: !pageIsBuilt }, () => {
  const env = { ...process.env, TMPDIR: '/proc/nowhere', HOME: '/proc/nowhere', XDG_CACHE_HOME: '/proc/nowhere' };
  const main = join(import.meta.dirname, 'main.ts');
  const { status, stderr } = spawnSync(process.execPath, [main, 'serve', recording()], {
    encoding: 'utf8',
    env,
    timeout: 30_000,
  });
  assert.equal(status, 2);
  assert.match(stderr, /^virtap: cannot write the index of the exits: there is no such directory\n$/);
  const trace = join(scratch, 'packed.dat.zst');
  spawnSync('zstd', ['-q', join(root, 'samples/host-kvm.dat'), '-o', trace]);
  const packed = spawnSync(process.execPath, [main, 'exits', trace], { encoding: 'utf8', env, timeout: 30_000 });
  assert.doesNotMatch(packed.stderr, /unexpectedly| at /);
  assert.equal(readFileSync(trace).length > 0, true);
});
