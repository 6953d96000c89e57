import { Readable } from 'node:stream';
import { spec, type TestEvent } from 'node:test/reporters';
import { between } from './tools.ts';

/** Node's own report for people, and in a sentence at its end how many tests were skipped, and why. */
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const skipped: string[] = [];
  yield* Readable.from(noting(source, skipped)).compose(spec());
  if (skipped.length > 0) yield `\n${sentence(skipped)}\n`;
}

async function* noting(source: AsyncIterable<TestEvent>, skipped: string[]): AsyncGenerator<TestEvent> {
  for await (const event of source) {
    if (event.type === 'test:pass' && event.data.skip !== undefined) {
      skipped.push(typeof event.data.skip === 'string' ? event.data.skip : '');
    }
    yield event;
  }
}

/** Of the reasons of each skipped test. */
function sentence(skipped: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const reasons of skipped) {
    for (const reason of (reasons || 'no reason given').split(between))
      counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const why = [...counts].sort(([, a], [, b]) => b - a).map(([reason, n]) => `${reason} (${n})`);
  const tests = skipped.length === 1 ? '1 test was' : `${skipped.length} tests were`;
  return `${tests} skipped: ${why.join(', ')}; VIRTAP_FULL=1 makes them fail.`;
}
