import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { knownEventsFile } from './declare.ts';
import { knownEvents } from './field-kind.ts';

test('the types of the known events are those of their signatures', () => {
  const path = join(import.meta.dirname, 'known-events.ts');
  const written = knownEventsFile(knownEvents());
  if (process.env.UPDATE_TYPES === '1') writeFileSync(path, written);
  assert.equal(readFileSync(path, 'utf8'), written);
});
