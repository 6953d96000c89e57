import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

/*
 * What `npm test` says on a machine that lacks something.
 */

const folder = mkdtempSync(join(tmpdir(), 'virtap-reporter-'));
after(() => rmSync(folder, { recursive: true }));

const some = join(folder, 'some.test.ts');
writeFileSync(
  some,
  `import { test } from 'node:test';
  import { needs } from ${JSON.stringify(join(import.meta.dirname, 'tools.ts'))};
  const never = () => new Promise((resolve) => setTimeout(resolve, 600_000));
  test('one', needs('QEMU', 'readelf'), never);
  test('two', needs('QEMU'), never);
  test('three', needs(), () => {});`,
);

/** Runs these tests where no program is to be found. */
function run(full: string): { status: number | null; stdout: string } {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const line = ['--test', `--test-reporter=${join(import.meta.dirname, 'reporter.ts')}`];
  return spawnSync(process.execPath, [...line, '--test-reporter-destination=stdout', some], {
    encoding: 'utf8',
    env: { ...env, PATH: folder, VIRTAP_FULL: full },
  });
}

test('what is missing is skipped, and a sentence at the end says so, with the reasons', () => {
  const { status, stdout } = run('');
  assert.equal(status, 0);
  assert.match(stdout, /^✔ three/m);
  assert.equal(
    stdout.trimEnd().split('\n').at(-1),
    '2 tests were skipped: qemu-system-x86_64 is not installed (2), readelf is not installed (1); VIRTAP_FULL=1 makes them fail.',
  );
});

test('with VIRTAP_FULL=1 it fails at once, with the reason', () => {
  const { status, stdout } = run('1');
  assert.equal(status, 1);
  assert.match(stdout, /Error: qemu-system-x86_64 is not installed \+ readelf is not installed\n/);
  assert.doesNotMatch(stdout, /skipped:/);
});
