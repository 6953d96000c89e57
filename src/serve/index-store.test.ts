import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
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

const folderOf = (files: string[]) => indexFolder(files) as string;

const store = (folder: string, id: string, index: unknown) => writeIndex(folder, id, async () => index);

test('an index is found again for the same state of a file, for no other', async () => {
  const path = file('a', 'one');
  const folder = folderOf([path]);
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
  assert.equal(new Set([folderOf([a]), folderOf([b]), folderOf([a, b])]).size, 3);
});

test('an index that was not made to its end leaves the old one, and nothing else', async () => {
  const path = file('c', 'one');
  const folder = folderOf([path]);
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
  const folder = folderOf([file('d', '')]);
  await store(folder, 'id', { rows: 1 });
  writeFileSync(join(folder, 'index.json'), '{"id":"id","ind');
  assert.equal(readIndex(folder, 'id'), undefined);
});

test('what nobody used for long is removed when another index is made; only the owner can read them', async () => {
  const [old, used] = [folderOf([file('e', '')]), folderOf([file('f', '')])];
  await store(old, 'id', 1);
  await store(used, 'id', 2);
  const past = new Date(Date.now() - 40 * 24 * 3600 * 1000);
  for (const folder of [old, used]) utimesSync(folder, past, past);
  const left = join(old, '../left.behind');
  mkdirSync(left);
  utimesSync(left, past, past);
  assert.equal(readIndex(used, 'id'), 2);
  await store(folderOf([file('g', '')]), 'id', 3);
  assert.equal(readIndex(old, 'id'), undefined);
  assert.equal(readIndex(used, 'id'), 2);
  assert.equal(readdirSync(join(old, '..')).includes('left.behind'), false);
  for (const path of [used, join(used, 'index.json')]) assert.equal(statSync(path).mode & 0o077, 0, path);
});

test('an index that somebody changed is none', async () => {
  const folder = folderOf([file('h', '')]);
  await store(folder, 'id', { rows: 1 });
  const path = join(folder, 'index.json');
  writeFileSync(path, readFileSync(path, 'utf8').replace('"rows":1', '"rows":2'));
  assert.equal(readIndex(folder, 'id'), undefined);
});

test('where nothing can be kept safely, an index is of use all the same, and leaves nothing', async () => {
  const all = join(process.env.XDG_CACHE_HOME as string, 'virtap/serve');
  const path = file('i', '');
  const usual = folderOf([path]);
  const cache = process.env.XDG_CACHE_HOME;
  try {
    chmodSync(all, 0o777);
    assert.equal(indexFolder([path]), undefined, 'others can write there');
    chmodSync(all, 0o700);
    if (process.getuid?.() === 0) {
      chownSync(all, 65534, 65534);
      assert.equal(indexFolder([path]), undefined, "another's");
      chownSync(all, 0, 0);
      const home = join(scratch, 'home');
      mkdirSync(home);
      chownSync(home, 65534, 65534);
      process.env.XDG_CACHE_HOME = join(home, '.cache');
      assert.equal(indexFolder([path]), undefined);
      assert.deepEqual(readdirSync(home), [], "root leaves nothing in another's home");
    }
    process.env.XDG_CACHE_HOME = file('no-folder', '');
    assert.equal(indexFolder([path]), undefined);
  } finally {
    process.env.XDG_CACHE_HOME = cache;
  }
  for (const folder of [undefined, join(scratch, 'no such', 'folder')]) {
    let used: string | undefined;
    const make = async (fresh: string) => {
      writeFileSync(join(fresh, 'exits'), 'whole');
      return 7;
    };
    const index = await writeIndex(folder, 'id', make, (_, fresh) => {
      used = readFileSync(join(fresh, 'exits'), 'utf8');
    });
    assert.deepEqual([index, used], [7, 'whole']);
  }
  assert.equal(folderOf([path]), usual);
});

test('what is no file is refused rather than waited for', () => {
  const pipe = join(scratch, 'pipe');
  spawnSync('mkfifo', [pipe]);
  assert.throws(() => identity([pipe], ''), /pipe: is no file; expected one that can be read again and again/);
  assert.throws(() => identity([join(scratch, 'none')], ''), /none: no such file/);
  assert.throws(() => identity([scratch], ''), /is a directory; expected a trace file/);
});
