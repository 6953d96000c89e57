import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { tables } from './doc-tables.ts';
import { virtapIn } from './virtap.ts';

/*
 * What the documentation shows is what the commands print. In a block marked `console`, each line that begins with
 * `$ virtap` or `$ node` is run, and what follows up to the next is what it prints. A line of just `…` stands for any
 * lines. Tables between `<!-- table NAME -->` and `<!-- end -->` are those of doc-tables.ts. A block marked `ts` that begins with `// NAME.ts` is a script or program that the page's commands can name. UPDATE_DOCS=1 writes what the commands print now into the blocks that have no such line; read the difference before you commit it.
 */

const root = join(import.meta.dirname, '..');
const pages = [
  'README.md',
  'samples/README.md',
  ...['docs', 'examples'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
];

const folder = mkdtempSync(join(tmpdir(), 'virtap-docs-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
const alias = join(root, 'test/virtap-alias.ts');

/** Writes the scripts that a page shows into a folder of its own; gives their paths. */
function writeScripts(page: string, text: string): string[] {
  const own = join(folder, page.replaceAll('/', '-'));
  mkdirSync(own);
  return [...text.matchAll(/^```ts\n\/\/ (\w[\w-]*\.ts)\n(.*?)^```$/gms)].map(([, name, script]) => {
    // The comment's line counts in errors.
    const path = join(own, name as string);
    writeFileSync(path, `\n${script}`);
    return path;
  });
}

/** A command of virtap's whose words need no shell but for their quotes, and what its output may go through. */
const plain = /^virtap((?: (?:[^\s'"$*?;<>|&`\\]+|'[^']*'))*)(?: \| (.*))?$/;

/** What a command line prints on a terminal: notes before the answer, as they come first. */
function printedBy(command: string): string {
  const [, words, filter] = plain.exec(command) ?? [];
  if (words === undefined) return shell(command);
  const args = words.match(/[^\s']+|'[^']*'/g) ?? [];
  const options = { cwd: root, env: { COLUMNS: '100' } };
  const { stdout, stderr } = virtapIn(options, ...args.map((word) => word.replaceAll("'", '')));
  return filter === undefined ? stderr + stdout : shell(filter, stdout);
}

function shell(command: string, input = ''): string {
  return spawnSync('sh', ['-c', `${command} 2>&1`], {
    cwd: root,
    encoding: 'utf8',
    input,
    env: { ...process.env, PATH: `${root}:${process.env.PATH}`, COLUMNS: '100', NO_COLOR: '1', LC_ALL: 'C.UTF-8' },
    maxBuffer: 64 << 20,
  }).stdout;
}

function run(shown: string, scripts: readonly string[]): string {
  const command = scripts
    .reduce((line, path) => line.replaceAll(` ${basename(path)} `, ` ${path} `), shown)
    .replace(/^node /, `node --import ${alias} `);
  const printed = printedBy(command);
  // A script's errors name it as it is from here, which depends on where the clone is.
  const there = basename(folder);
  return printed
    .replaceAll(new RegExp(`[^ ]*${there}/[^/ ]+/`, 'g'), '')
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trimEnd();
}

/** Whether `printed` is `shown`, where a line `…` of the latter may stand for any lines. */
function matches(shown: string, printed: string): boolean {
  const pieces = shown.split(/^…$/m).map((piece) => piece.trim());
  let at = 0;
  for (const [n, piece] of pieces.entries()) {
    const found = printed.indexOf(piece, at);
    if (found < 0 || (n === 0 && found !== 0)) return false;
    at = found + piece.length;
  }
  return pieces.at(-1) === '' || at === printed.length;
}

for (const page of pages) {
  const path = join(root, page);
  const text = readFileSync(path, 'utf8');
  const scripts = writeScripts(page, text);
  let updated = text;
  for (const block of text.matchAll(/^```console\n(.*?)^```$/gms)) {
    const parts = (block[1] as string).split(/^(?=\$ )/m);
    const fresh: string[] = [];
    for (const part of parts) {
      const [first = '', ...rest] = part.split('\n');
      const command = first.replace(/^\$ /, '');
      const shown = rest.join('\n').trimEnd();
      if (!/^(virtap|node)( |$)/.test(command)) {
        fresh.push(part);
        continue;
      }
      if (process.env.UPDATE_DOCS === '1') {
        fresh.push(/^…$/m.test(shown) ? part : `${first}\n${run(command, scripts)}\n`);
        continue;
      }
      test(`${page}: ${command}`, () => {
        const printed = run(command, scripts);
        if (!matches(shown, printed)) assert.equal(printed, shown);
      });
    }
    if (process.env.UPDATE_DOCS === '1')
      updated = updated.replace(block[0], () => `\`\`\`console\n${fresh.join('')}\`\`\``);
  }
  for (const [whole, name, shown] of text.matchAll(/^<!-- table ([\w ]+) -->\n(.*?)^<!-- end -->$/gms)) {
    const made = tables[name as string]?.();
    if (process.env.UPDATE_DOCS === '1') {
      updated = updated.replace(whole, () => `<!-- table ${name} -->\n${made}<!-- end -->`);
      continue;
    }
    test(`${page}: the table of ${name} is that of the code`, () => assert.equal(shown, made));
  }
  if (updated !== text) writeFileSync(path, updated);
}

test('the scripts in the documentation pass the type check', () => {
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { typeRoots: [join(root, 'node_modules/@types')] },
    include: ['*/*.ts'],
    // It shows an error.
    exclude: ['*/wrong.ts'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const { stdout, status } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' });
  assert.deepEqual([stdout, status], ['', 0]);
});
