import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { identity, indexFolder, readIndex, writeIndex } from './index-store.ts';

const scratch = mkdtempSync(join(tmpdir(), 'virtap-index-'));
process.env.XDG_CACHE_HOME = join(scratch, 'cache');
after(() => rmSync(scratch, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
}

const store = (folder: string, id: string, index: unknown) => writeIndex(folder, id, async () => index);

test('an index is found again for the same state of a file, for no other', async () => {
  const path = file('a', 'one');
  const folder = indexFolder([path]);
  const id = identity([path], '');
  assert.equal(readIndex(folder, id), undefined);
  await store(folder, id, { rows: 1 });
  assert.deepEqual(readIndex(folder, identity([path], '')), { rows: 1 });

  assert.equal(readIndex(folder, identity([path], 'read otherwise')), undefined);
  const { mtime } = statSync(path);
  writeFileSync(path, 'two');
  utimesSync(path, mtime, mtime);
  assert.equal(readIndex(folder, identity([path], '')), undefined);
  writeFileSync(path, 'one');
  utimesSync(path, mtime, new Date(mtime.getTime() + 1000));
  assert.equal(readIndex(folder, identity([path], '')), undefined);
});

test('files have an index each, and together another', () => {
  const [a, b] = [file('a', ''), file('b', '')];
  assert.equal(new Set([indexFolder([a]), indexFolder([b]), indexFolder([a, b])]).size, 3);
});

test('an index that was not made to its end leaves the old one, and nothing else', async () => {
  const path = file('c', 'one');
  const folder = indexFolder([path]);
  await store(folder, 'old', { rows: 1 });
  const broken = writeIndex(folder, 'new', async (fresh) => {
    writeFileSync(join(fresh, 'exits'), 'half');
    throw new Error('interrupted');
  });
  await assert.rejects(broken, /interrupted/);
  assert.deepEqual(readIndex(folder, 'old'), { rows: 1 });
  assert.equal(readIndex(folder, 'new'), undefined);
  assert.deepEqual(readdirSync(folder), ['index.json']);
  assert.deepEqual(
    readdirSync(join(folder, '..')).filter((name) => name.includes('.')),
    [],
  );
});

test('a damaged index is none', async () => {
  const folder = indexFolder([file('d', '')]);
  await store(folder, 'id', { rows: 1 });
  writeFileSync(join(folder, 'index.json'), '{"id":"id","ind');
  assert.equal(readIndex(folder, 'id'), undefined);
});

test('what nobody used for long is removed when another index is made; only the owner can read them', async () => {
  const [old, used] = [indexFolder([file('e', '')]), indexFolder([file('f', '')])];
  await store(old, 'id', 1);
  await store(used, 'id', 2);
  const past = new Date(Date.now() - 40 * 24 * 3600 * 1000);
  for (const folder of [old, used]) utimesSync(folder, past, past);
  const left = join(old, '../left.behind');
  mkdirSync(left);
  utimesSync(left, past, past);
  assert.equal(readIndex(used, 'id'), 2);
  await store(indexFolder([file('g', '')]), 'id', 3);
  assert.equal(readIndex(old, 'id'), undefined);
  assert.equal(readIndex(used, 'id'), 2);
  assert.equal(readdirSync(join(old, '..')).includes('left.behind'), false);
  for (const path of [used, join(used, 'index.json')]) assert.equal(statSync(path).mode & 0o077, 0, path);
});
