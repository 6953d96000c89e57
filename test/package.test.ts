import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { generate } from '../bench/generate.ts';

const root = join(import.meta.dirname, '..');
const tsc = join(root, 'node_modules/typescript/bin/tsc');
const folder = mkdtempSync(join(tmpdir(), 'virtap-package-'));
mkdirSync(join(folder, 'cache'), { mode: 0o755 });
after(() => rmSync(folder, { recursive: true }));
const sample = join(root, 'samples/host-kvm.dat');

function compile(...args: string[]): void {
  const { status, stdout } = spawnSync(process.execPath, [tsc, ...args], { encoding: 'utf8', cwd: folder });
  assert.equal(status, 0, stdout);
}

function run(program: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, XDG_CACHE_HOME: join(folder, 'cache'), NODE_COMPILE_CACHE: undefined };
  return spawnSync(program, args, { encoding: 'utf8', env, cwd: folder, maxBuffer: 1 << 28 });
}

/** A clone as it is before its first run; what npm installs is there. */
const clone = join(folder, 'clone');
for (const part of ['src', 'scripts', 'samples', 'virtap', 'package.json', 'package-lock.json']) {
  cpSync(join(root, part), join(clone, part), { recursive: true, preserveTimestamps: true });
}
symlinkSync(join(root, 'node_modules'), join(clone, 'node_modules'));
// However new the lock file is here, nothing is to be installed.
utimesSync(join(clone, 'package-lock.json'), 0, 0);
const virtap = join(clone, 'virtap');
const dist = (file: string) => join(clone, 'dist', file);

test("a clone's first run builds what answers as the sources do, in both ways of calling it", () => {
  const sources = run(process.execPath, join(root, 'src/cli/main.ts'), 'exits', '--json', sample);
  assert.equal(sources.status, 0, sources.stderr);
  const first = run(virtap, 'exits', '--json', sample);
  assert.equal(first.stderr, '');
  assert.equal(first.stdout, sources.stdout);
  const link = join(folder, 'link');
  symlinkSync(virtap, link);
  assert.equal(run(link, 'exits', '--json', sample).stdout, sources.stdout);
});

test('a run after a source was changed has the change, and one after that builds nothing', () => {
  const commands = join(clone, 'src/cli/commands.ts');
  const text = readFileSync(commands, 'utf8');
  writeFileSync(commands, text.replace("summary: 'completion for", "summary: 'changed for"));
  assert.match(run(virtap, '--help').stdout, /completion +changed for/);
  const built = statSync(dist('virtap.js')).mtimeMs;
  run(virtap, '--help');
  assert.equal(statSync(dist('virtap.js')).mtimeMs, built);
});

test('what V8 compiled is kept where only the user can write; damaged, it changes no answer', () => {
  const answer = run(virtap, 'exits', '--json', sample).stdout;
  const code = join(folder, 'cache/virtap/code/exits');
  const [build = assert.fail('nothing is kept')] = readdirSync(code);
  const kept = join(code, build, 'common.js');
  const whole = readFileSync(kept);
  for (const damaged of [Buffer.alloc(0), Buffer.from('garbage'), whole.subarray(0, whole.length / 2)]) {
    writeFileSync(kept, damaged);
    const { status, stdout, stderr } = run(virtap, 'exits', '--json', sample);
    assert.deepEqual([status, stderr, stdout === answer], [0, '', true]);
    assert.ok(readFileSync(kept).length > whole.length / 2);
  }
  rmSync(join(folder, 'cache/virtap/code'), { recursive: true });
  chmodSync(join(folder, 'cache'), 0o777);
  assert.equal(run(virtap, 'exits', '--json', sample).stdout, answer);
  assert.ok(!existsSync(join(folder, 'cache/virtap/code')));
  chmodSync(join(folder, 'cache'), 0o755);
});

test('the threads of the built library run', async () => {
  const file = join(folder, 'perf.data');
  const count = await generate('perf.data', 50_000, file);
  writeFileSync(
    join(folder, 'count.mjs'),
    `import { openTrace } from ${JSON.stringify(dist('index.js'))};
import { Worker } from 'node:worker_threads';
const trace = await openTrace(process.argv[2], { threads: 2 });
let threads = 0;
process.on('worker', () => threads++);
let count = 0;
for await (const batch of trace.batches()) count += batch.count;
console.log(count, threads);
await trace.close();`,
  );
  assert.deepEqual(run(process.execPath, join(folder, 'count.mjs'), file).stdout, `${count} 1\n`);
});

test('a script gets the library that runs it', () => {
  const script = join(folder, 'script.ts');
  writeFileSync(
    script,
    `import { TraceError } from 'virtap';
import { analyzer } from 'virtap/script';
export default analyzer(({ print }) => ({ end: () => print(TraceError.name) }));`,
  );
  const { stdout, stderr } = run(virtap, 'run', script, sample);
  assert.deepEqual([stdout.trim(), stderr], ['TraceError', '']);
});

test('the stack of a failure that nobody foresaw names files of src/ and their lines', () => {
  const broken = join(folder, 'broken.cjs');
  writeFileSync(
    broken,
    `const fs = require('node:fs'); const read = fs.readFileSync;
fs.readFileSync = (path, ...rest) => { if (String(path).endsWith('/package.json')) throw new Error('broken'); return read(path, ...rest); };`,
  );
  const { status, stderr } = run(process.execPath, '--require', broken, dist('virtap.js'), '--version');
  assert.equal(status, 1);
  const [, file, line] = /at version \((src\/own\/files\.ts):(\d+):\d+\)/.exec(stderr) ?? assert.fail(stderr);
  const lines = readFileSync(join(root, file as string), 'utf8').split('\n');
  assert.match(lines.slice(0, Number(line)).at(-1) as string, /ownText\('package\.json'\)/);
  assert.doesNotMatch(stderr, /dist\/(?!virtap\.js)/);
});

test('a Node.js that is too old gets a sentence that says which it must be, from the command and from the library', () => {
  const old = join(folder, 'old.cjs');
  writeFileSync(
    old,
    `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } });`,
  );
  const sentence = 'virtap needs Node.js 22.18 or newer, and this is 20.20.2. The executable of virtap needs none.';
  const command = run(process.execPath, '--require', old, dist('virtap.js'), 'exits', sample);
  assert.deepEqual([command.status, command.stderr], [2, `virtap: ${sentence}\n`]);
  for (const file of ['index.js', 'script.js']) {
    const library = run(process.execPath, '--require', old, '--eval', `require(${JSON.stringify(dist(file))})`);
    assert.ok(library.stderr.includes(`Error: ${sentence}\n`), library.stderr);
  }
});

test('import and require of the library give the same, by name', () => {
  const code = `import * as imported from ${JSON.stringify(dist('index.js'))};
import { createRequire } from 'node:module';
const required = createRequire('/')(${JSON.stringify(dist('index.js'))});
console.log(imported.openTrace === required.openTrace && imported.TraceError === required.TraceError, Object.keys(required).join());`;
  const names = `import * as all from ${JSON.stringify(join(root, 'src/index.ts'))}; console.log(true, Object.keys(all).join());`;
  const ofSources = run(process.execPath, '--input-type=module', '--eval', names).stdout;
  assert.equal(run(process.execPath, '--input-type=module', '--eval', code).stdout, ofSources);
});

test('a strict program that uses the library compiles, as ES module and CommonJS, also without the types of Node.js', () => {
  const installed = join(folder, 'node_modules/virtap');
  mkdirSync(installed, { recursive: true });
  copyFileSync(join(root, 'package.json'), join(installed, 'package.json'));
  compile('-p', join(root, 'tsconfig.build.json'), '--outDir', join(installed, 'dist'));
  copyFileSync(dist('package.json'), join(installed, 'dist/package.json'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const program = (
    last: string,
  ) => `import { Exits, judgeLeaks, openTrace, Requests, type Trace, TraceError } from 'virtap';
import { analyzer, stats } from 'virtap/script';
export const leaks = async (trace: Promise<Trace> = openTrace('trace.dat')): Promise<number> => {
  const opened = await trace;
  const requests = new Requests();
  for await (const batch of opened.batches((type) => requests.wants(type))) requests.batch(opened, batch);
  return judgeLeaks(requests, opened.clock).totals.leaked;
};
export { analyzer, Exits, stats, TraceError };
${last}
`;
  writeFileSync(join(folder, 'program.ts'), program('export const leaked: number = await leaks();'));
  writeFileSync(join(folder, 'program.cts'), program(''));
  for (const [module, resolution] of [
    ['nodenext', 'nodenext'],
    ['node16', 'node16'],
    ['esnext', 'bundler'],
  ] as const) {
    const compilerOptions = {
      ...{ module, moduleResolution: resolution, target: 'es2024', strict: true, noEmit: true, types: [] },
      ...{ noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, skipLibCheck: false },
    };
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['program.ts', 'program.cts'] }),
    );
    compile('-p', folder);
  }
});
