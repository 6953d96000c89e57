import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const root = join(import.meta.dirname, '..');
const tsc = join(root, 'node_modules/typescript/bin/tsc');
const folder = mkdtempSync(join(tmpdir(), 'virtap-package-'));
after(() => rmSync(folder, { recursive: true }));

function compile(...args: string[]): void {
  const { status, stdout } = spawnSync(process.execPath, [tsc, ...args], { encoding: 'utf8', cwd: folder });
  assert.equal(status, 0, stdout);
}

test('a strict program that uses the library compiles, also without the types of Node.js', () => {
  const installed = join(folder, 'node_modules/virtap');
  mkdirSync(installed, { recursive: true });
  copyFileSync(join(root, 'package.json'), join(installed, 'package.json'));
  compile('-p', join(root, 'tsconfig.build.json'), '--emitDeclarationOnly', '--outDir', join(installed, 'dist'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(
    join(folder, 'program.ts'),
    `import { Exits, judgeLeaks, openTrace, Requests, type Trace, TraceError } from 'virtap';
import { analyzer, stats } from 'virtap/script';
export const trace: Trace = await openTrace('trace.dat');
const requests = new Requests();
for await (const batch of trace.batches((type) => requests.wants(type))) requests.batch(trace, batch);
export const leaked: number = judgeLeaks(requests, trace.clock).totals.leaked;
export { analyzer, Exits, stats, TraceError };
`,
  );
  for (const [module, resolution] of [
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ] as const) {
    const compilerOptions = {
      ...{ module, moduleResolution: resolution, target: 'es2024', strict: true, noEmit: true, types: [] },
      ...{ noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, skipLibCheck: false },
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
    compile('-p', folder);
  }
});
