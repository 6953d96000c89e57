/* The process of virtap.ts: runs the command lines that come on descriptor 3, and says on descriptor 4 when each is done. */
import { writeSync } from 'node:fs';
import { runLine } from '../src/cli/program.ts';
import { say } from '../src/cli/say.ts';
import { type Done, line, type Request } from './virtap.ts';

// What a command leaves open, since its process ends anyway, is closed when V8 comes across it.
process.removeAllListeners('warning');
process.on('warning', ({ name, message }) => {
  if (!/ on garbage collection/.test(message)) say(`virtap: ${name}: ${message}\n`);
});

const before = { ...process.env };
for (let request = line(3); request !== undefined; request = line(3)) {
  const { args, env, cwd } = JSON.parse(request) as Request;
  process.chdir(cwd);
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
  Object.assign(process.env, before);
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  process.exitCode = undefined;
  await runLine(args);
  // What was written is in its file, then.
  await Promise.all(
    [process.stdout, process.stderr].map((out) => new Promise<void>((done) => out.write('', () => done()))),
  );
  const done: Done = { status: Number(process.exitCode ?? 0) };
  writeSync(4, `${JSON.stringify(done)}\n`);
}
process.exit(0);
