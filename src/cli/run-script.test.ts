import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virtapIn } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const leaky = join(root, 'samples/qemu-leak.bin.zst');
const kvm = join(root, 'samples/host-kvm.dat');
const folder = mkdtempSync(join(tmpdir(), 'virtap-script-'));
after(() => rmSync(folder, { recursive: true }));

const run = (...args: string[]) => virtapIn({ cwd: folder }, 'run', ...args);

/** Writes a script, and gives its path. */
function script(name: string, text: string, imports = 'analyzer'): string {
  mkdirSync(join(folder, name, '..'), { recursive: true });
  writeFileSync(join(folder, name), `import { ${imports} } from 'virtap/script';\n${text}`);
  return name;
}

const openElements = `
interface Since { time: number }
export default analyzer(({ print }) => {
  const open = new Map<string, Since>();
  return {
    virtqueue_pop({ vq, elem }, { time }) { open.set(\`\${vq} \${elem}\`, { time }) },
    virtqueue_fill({ vq, elem }) { open.delete(\`\${vq} \${elem}\`) },
    end() { for (const key of open.keys()) print(key) },
  };
});
`;

test('a script in TypeScript, from anywhere, finds the elements that an instrumented QEMU dropped', () => {
  const { status, stdout, stderr } = run(script('leaks.ts', openElements), leaky);
  assert.deepEqual([status, stderr], [0, '']);
  const dropped = readFileSync(join(root, 'test/data/leaks/e-leak.truth.txt'), 'utf8')
    .split('\n')
    .flatMap((line) => /vq=(\S+) elem=(\S+)/.exec(line)?.slice(1).join(' ') ?? []);
  assert.equal(dropped.length, 42);
  const left = stdout.trimEnd().split('\n');
  assert.deepEqual(left.filter((key) => dropped.includes(key)).sort(), dropped.sort());
  // The balloon keeps one by design.
  assert.equal(left.length, 43);
});

test('scripts run together, and get the arguments behind --', () => {
  const text = `export default analyzer(({ print, args }) => ({ kvm_exit() {}, begin() { print(...args) } }));`;
  const both = [script('a.ts', text), script('b.mjs', text)];
  const { status, stdout, stderr } = run(...both, kvm, '--to', '1s', '--', '5ms', '--json', 'x.ts');
  assert.deepEqual([status, stdout, stderr], [0, '5ms --json x.ts\n5ms --json x.ts\n', '']);
});

test('an error names the line, the event and its time; what was printed before stands', () => {
  const text = `
export default analyzer(({ print }) => {
  let events = 0;
  return {
    kvm_exit({ guest_rip }) {
      print(guest_rip);
      if (++events === 2) throw new RangeError('too many');
    },
  };
});`;
  const { status, stdout, stderr } = run(script('throws.ts', text), kvm);
  assert.equal(status, 2);
  assert.equal(stdout.split('\n').length, 3);
  assert.match(stderr, /^virtap: throws\.ts:8: RangeError: too many \(in kvm:kvm_exit at 1382\.\d{9}\)\n$/);
});

test('a script that cannot be loaded gets a sentence', () => {
  const says = (files: string[], sentence: RegExp) => {
    const { status, stdout, stderr } = run(...files);
    assert.deepEqual([status, stdout], [2, ''], stderr);
    assert.match(stderr, sentence);
  };
  says(['nosuch.ts', kvm], /^virtap: nosuch\.ts: no such file\n$/);
  says([kvm], /^virtap: no script given/);
  says([script('ok.ts', openElements)], /^virtap: no trace given for ok\.ts to run on\n$/);
  says([script('syntax.ts', 'export default analyzer(() => ({ x( }))'), kvm], /^virtap: syntax\.ts:2: SyntaxError: /);
  says([script('enum.ts', 'enum A { b }'), kvm], /^virtap: enum\.ts:2: SyntaxError: TypeScript enum is not supported/);
  says([script('top.ts', 'throw new Error("boo")'), kvm], /^virtap: top\.ts:2: Error: boo\n$/);
  says(
    [script('import.ts', 'import "./gone.ts"'), kvm],
    /^virtap: import\.ts: it imports gone\.ts, which is not there\n$/,
  );
  says(
    [script('other.ts', 'export default 3'), kvm],
    /^virtap: other\.ts: its default export is no analyzer; expected/,
  );
});

test('events that the trace does not have are named, with the nearest name', () => {
  const text = `export default analyzer(({ print }) => ({ virtqueue_popp() {}, virtqueue_fill() {}, end() { print('end') } }));`;
  const some = run(script('some.ts', text), leaky);
  assert.deepEqual([some.status, some.stdout], [0, 'end\n']);
  assert.match(
    some.stderr,
    /^virtap: some\.ts: no event in .* is called virtqueue_popp; did you mean qemu:virtqueue_pop\?\n$/,
  );
  const none = run(script('none.ts', 'export default analyzer(() => ({ kvm_exit() {} }))'), leaky);
  assert.equal(none.status, 2);
});

test('what a trace says is escaped, and what is lost is told', () => {
  const text = `export default analyzer(({ print }) => ({ kvm_exit() {}, begin() { print('\\x1b[31mred', 'a\\tb\\nc', { x: '\\u202e' }) } }));`;
  const { stdout, stderr } = run(script('hostile.ts', text), join(root, 'test/data/perf/lost.data.zst'));
  assert.equal(stdout, "\\x1b[31mred a\tb\nc { x: '\\u{202e}' }\n");
  assert.match(stderr, /^Lost: \d/);
});

test('an installed virtap runs scripts in TypeScript, also those below node_modules', () => {
  const installed = join(folder, 'node_modules/virtap');
  mkdirSync(installed, { recursive: true });
  const built = spawnSync(process.execPath, [join(root, 'scripts/bundle.ts'), join(installed, 'dist')], {
    encoding: 'utf8',
  });
  assert.deepEqual([built.status, built.stdout], [0, '']);
  cpSync(join(root, 'package.json'), join(installed, 'package.json'));
  const main = join(installed, 'dist/virtap.js');
  const expected = run(script('leaks.ts', openElements), leaky).stdout;
  for (const file of ['leaks.ts', script('node_modules/virtap/examples/leaks.ts', openElements)]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'run', file, leaky], {
      cwd: folder,
      encoding: 'utf8',
    });
    assert.deepEqual([status, stdout, stderr], [0, expected, '']);
  }
});
