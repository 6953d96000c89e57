import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseKernelFormat } from './kernel-format.ts';

test('fields of every shape', () => {
  const format = parseKernelFormat(`name: sched_switch
ID: 316
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;

\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:__data_loc char[] name;\toffset:24;\tsize:4;\tsigned:0;
\tfield:__rel_loc char[] rel;\toffset:28;\tsize:4;\tsigned:0;
\tfield:unsigned long args[6][2];\toffset:32;\tsize:96;\tsigned:0;
\tfield:const char * ptr;\toffset:128;\tsize:8;\tsigned:0;
\tfield:pid_t pid;\toffset:136;\tsize:4;\tsigned:1;
\tfield:char buf[];\toffset:140;\tsize:0;\tsigned:1;
\tfield:no name!;\toffset:140;\tsize:0;\tsigned:1;
\tfield:];\toffset:140;\tsize:0;\tsigned:1;

print fmt: "%s", REC->prev_comm
`);
  assert.equal(format?.name, 'sched_switch');
  assert.equal(format?.id, 316);
  assert.equal(format?.printFormat, '"%s", REC->prev_comm');
  assert.deepEqual(
    format?.fields.map((f) => [f.declared, f.name, f.offset, f.size, f.signed, f.kind]),
    [
      ['unsigned short', 'common_type', 0, 2, false, 'int'],
      ['char[16]', 'prev_comm', 8, 16, false, 'string'],
      ['__data_loc char[]', 'name', 24, 4, false, 'dynamic string'],
      ['__rel_loc char[]', 'rel', 28, 4, false, 'relative string'],
      ['unsigned long[6][2]', 'args', 32, 96, false, 'bytes'],
      ['const char *', 'ptr', 128, 8, false, 'int'],
      ['pid_t', 'pid', 136, 4, true, 'int'],
      ['char[]', 'buf', 140, 0, true, 'string'],
    ],
  );
});

test('text that is no format, however long', () => {
  assert.equal(parseKernelFormat(''), undefined);
  assert.equal(parseKernelFormat('name: x\nID: y\n'), undefined);
  const hostile = `name: x\nID: 1\n\tfield:${'a'.repeat(1 << 20)}!;\toffset:0;\tsize:4;\tsigned:1;\n`;
  assert.deepEqual(parseKernelFormat(hostile)?.fields, []);
});
