import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { needs } from '../../test/tools.ts';
import { virtapIn } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'virtap-types-'));
after(() => rmSync(folder, { recursive: true }));

const types = (...args: string[]) => virtapIn({ cwd: folder }, 'types', ...args);

test('declared events are known to the type check of scripts, and so are their fields', () => {
  const described = join(folder, 'trace-events-all');
  writeFileSync(
    described,
    `ufo_land(void *ufo, int feet, const char *name, uint64_t speed, bool loud) "ufo %p feet %d %s speed %"PRIu64" loud %d"
virtqueue_pop(void *vq, void *elem, unsigned int in_num, unsigned int out_num) "vq %p elem %p in_num %u out_num %u"
virtqueue_fill(void *vq, int64_t elem) "vq %p elem %"PRId64
`,
  );
  const { status, stdout, stderr } = types('--trace-events', described);
  assert.deepEqual([status, stderr], [0, '']);
  // One is known as it is, one is of another version.
  assert.doesNotMatch(stdout, /virtqueue_pop/);
  writeFileSync(join(folder, 'events.d.ts'), stdout);
  writeFileSync(
    join(folder, 'script.ts'),
    `import { analyzer } from 'virtap/script';
export default analyzer(() => ({
  ufo_land({ ufo, feet, name, speed, loud }) {
    const hex: \`0x\${string}\` = ufo;
    const numbers: number = feet + speed + loud;
    return [hex, numbers, name.length];
  },
  'qemu:virtqueue_fill'({ elem }) {
    return elem + 1;
  },
  virtqueue_pop({ vq }) {
    return vq;
  },
}));
export const wrong = analyzer(() => ({
  ufo_land({ feets }) {
    return feets;
  },
}));
`,
  );
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const extended = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { typeRoots: [join(root, 'node_modules/@types')] },
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ ...extended, include: ['*.ts'] }));
  const check = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], {
    encoding: 'utf8',
  });
  assert.match(
    check.stdout,
    /^\S*script\.ts\(16,14\): error TS2339: Property 'feets' does not exist on type [^\n]*\n$/,
  );
});

test('traces of any format give the events that occur in them and are not known', () => {
  const text = join(folder, 'ufo.txt');
  writeFileSync(
    text,
    '            bash-1     [000]  1.000001: ufo_land: feet=3 name=zork\n            bash-1     [000]  1.000002: ufo_land: feet=4 name=zork\n',
  );
  const { stdout, stderr } = types(text, join(root, 'samples/host-kvm.dat'));
  assert.deepEqual(
    [stdout.split('\n').filter((line) => line.startsWith("    '")), stderr],
    [["    'unknown:ufo_land': { readonly feet: number; readonly name: string };"], ''],
  );
  assert.match(types(join(root, 'samples/host-kvm.dat')).stdout, /knows all of them/);
});

test('the running kernel tells of its events', needs('permission to trace'), () => {
  const { stdout } = types('--kernel', '--event', 'sched:sched_pi_setprio');
  assert.match(
    stdout,
    /'sched:sched_pi_setprio': \{ readonly comm: string; readonly pid: number; readonly oldprio: number; readonly newprio: number \};/,
  );
});

test('names from a hostile trace stay within their quotes', () => {
  const file = join(folder, 'hostile.txt');
  writeFileSync(file, `            bash-1  [000] 1.000001: x*/'\\: a=1\n`);
  const { stdout, status } = types(file);
  assert.equal(status, 0);
  assert.match(stdout, /^ {4}'unknown:x\*\/\\u\{27\}\\u\{5c\}': \{ readonly a: number \};$/m);
});

test('what cannot be declared gets a sentence', () => {
  assert.match(types().stderr, /^virtap: nothing given; expected a trace, --trace-events FILE or --kernel\n$/);
  assert.match(types('-e', 'nosuch', join(root, 'samples/host-kvm.dat')).stderr, /is called nosuch/);
  assert.match(types('--trace-events', '/nosuch').stderr, /no such file/);
});
