import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Summary } from '../spans/summary.ts';
import { ConditionError, judge, parseCondition, type Subject } from './conditions.ts';
import { figures, measured } from './figures.ts';

test('conditions are read with their units', () => {
  const read = (text: string) => {
    const { text: _, ...rest } = parseCondition(text);
    return rest;
  };
  assert.deepEqual(read('p99(exit:EPT_VIOLATION)>100us'), {
    change: false,
    figure: 'p99',
    measure: 'length',
    kind: 'exit',
    name: 'EPT_VIOLATION',
    comparison: '>',
    value: 100_000,
  });
  assert.deepEqual(read(' p999 ( wait : BQL ) >= 1.5 ms '), {
    change: false,
    figure: 'p99.9',
    measure: 'length',
    kind: 'wait',
    name: 'BQL',
    comparison: '>=',
    value: 1_500_000,
  });
  const value = (text: string) => parseCondition(text).value;
  assert.equal(value('share(lock)<5%'), 0.05);
  assert.equal(value('share(lock)<0.5'), 0.5);
  assert.equal(value('rate(exit)<1000/s'), 1000);
  assert.equal(value('count(exit)<1000'), 1000);
  assert.equal(value('mean(exit:a,b (c))<=2s'), 2e9);
  assert.equal(parseCondition('mean(exit:a,b (c))<=2s').name, 'a,b (c)');
});

test('conditions can be about what only the JSON of an answer has', () => {
  const more = (word: string) => (word === 'wall' ? ({ name: 'wall', measure: 'length' } as const) : undefined);
  const read = (text: string) => {
    const { figure, measure, kind, value } = parseCondition(text, more);
    return [figure, measure, kind, value];
  };
  assert.deepEqual(read('wall(vcpu:0) > 1s'), ['wall', 'length', 'vcpu', 1e9]);
  assert.throws(() => read('wall(vcpu:0) > 1'), /^.*wall is a length of time with its unit/);
  // JSON's own names say their unit.
  assert.deepEqual(read('p999_ns(exit) > 1500'), ['p99.9', 'length', 'exit', 1500]);
  assert.deepEqual(read('lost>0'), ['lost', undefined, undefined, 0]);
  assert.deepEqual(read('totals.all.p99_ns <= 2.5 us'), ['totals.all.p99_ns', 'length', undefined, 2500]);
  assert.deepEqual(read('held_outside_guest.share > 5%'), ['held_outside_guest.share', 'share', undefined, 0.05]);
  assert.throws(() => read('totals all > 3'), /expected FIGURE/);
  assert.throws(
    () => read('lost > many'),
    /lost is compared with a number, a length of time or a percentage, not many/,
  );
});

test('where nothing is said of all of a kind, each of them is meant', () => {
  const vcpus: Subject[] = [0, 1].map((n) => ({ kind: 'vcpu', name: String(n), measured: { count: 10 * n } }));
  assert.deepEqual(judge(parseCondition('count(vcpu)>5'), vcpus).holds, true);
  assert.deepEqual(judge(parseCondition('count(vcpu)>10'), vcpus).holds, false);
});

test('conditions can be about a change, in percent', () => {
  const { text: _, ...rest } = parseCondition(' change( p99(exit:npf) ) < -2.5 %');
  assert.deepEqual(rest, {
    change: true,
    figure: 'p99',
    measure: 'length',
    kind: 'exit',
    name: 'npf',
    comparison: '<',
    value: -0.025,
  });
  assert.throws(() => parseCondition('change(p99(exit))>10us'), /a change is a percentage, 10% or -5%, not 10us/);
  assert.throws(() => parseCondition('change(exit)>10%'), /expected FIGURE/);
  const changed: Subject = { kind: 'exit', name: undefined, measured: { p99: 0.3, avg: Number.NaN }, change: true };
  const plain: Subject = { kind: 'exit', name: undefined, measured: { p99: 1000 } };
  assert.equal(judge(parseCondition('change(p99(exit))>25%'), [changed]).holds, true);
  assert.equal(judge(parseCondition('change(p99(exit))>35%'), [changed]).holds, false);
  assert.ok(Number.isNaN(judge(parseCondition('change(rate(exit:none))>35%'), [changed]).actual));
  assert.throws(() => judge(parseCondition('change(p99(exit))>1%'), [plain]), /only virtap diff has changes/);
  assert.throws(() => judge(parseCondition('p99(exit)>1us'), [changed]), /expected change\(FIGURE\(WHAT\)\) > 10%/);
});

test('what is no condition is refused with what was expected', () => {
  const refused = (text: string) => {
    try {
      parseCondition(text);
    } catch (error) {
      assert.ok(error instanceof ConditionError);
      return error.message;
    }
    return 'read';
  };
  assert.match(refused('p99 exit > 3'), /^expected FIGURE\(WHAT\) > VALUE/);
  assert.match(refused('p98(exit)>3us'), /^there is no figure p98; it is one of count, rate/);
  assert.match(refused('p99(exit)>3'), /^p99 is a length of time with its unit/);
  assert.match(refused('p99(exit)>3%'), /^p99 is a length of time with its unit/);
  assert.match(refused('count(exit)>3us'), /^count is a number without a unit/);
  assert.match(refused('share(exit)>3'), /^share is a percentage/);
  assert.match(refused('rate(exit)>3us'), /^rate is in events per second/);
  assert.match(refused('p99(exit)==3us'), /^expected FIGURE/);
});

test('no text makes the reading of a condition fail in another way', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'p9(x:)><=. 1us%/') }), (text) => {
      try {
        parseCondition(text);
      } catch (error) {
        assert.ok(error instanceof ConditionError);
      }
    }),
  );
});

const subjects: Subject[] = [
  { kind: 'exit', name: undefined, measured: { count: 7, max: 500, share: 1 } },
  { kind: 'exit', name: 'npf', measured: { count: 3, max: 400, share: 0.5 } },
];
const holds = (text: string) => judge(parseCondition(text), subjects).holds;

test('a condition holds by the figure of what it names', () => {
  assert.equal(holds('count(exit)>6'), true);
  assert.equal(holds('count(exit)>7'), false);
  assert.equal(holds('count(exit)>=7'), true);
  assert.equal(holds('max(exit:NPF)<401ns'), true);
  assert.equal(holds('share(exit:npf)>50%'), false);
});

test('of several that have one name, it holds where it does for one', () => {
  const bqls: Subject[] = [10, Number.NaN, 30].map((max) => ({ kind: 'wait', name: 'BQL', measured: { max } }));
  const judged = (text: string) => {
    const { holds, actual } = judge(parseCondition(text), bqls);
    return [holds, actual];
  };
  assert.deepEqual(judged('max(wait:BQL)>20ns'), [true, 30]);
  assert.deepEqual(judged('max(wait:BQL)<20ns'), [true, 10]);
  assert.deepEqual(judged('max(wait:BQL)>40ns'), [false, 10]);
  const [, unknown] = bqls;
  const only = judge(parseCondition('share(wait:BQL)<5%'), [
    { ...(unknown as Subject), measured: { share: Number.NaN } },
  ]);
  assert.ok(Number.isNaN(only.actual) && !only.holds);
});

test('of what did not happen there are none, and how long it took nobody knows', () => {
  assert.deepEqual(judge(parseCondition('count(exit:hlt)<1'), subjects).actual, 0);
  const unknown = judge(parseCondition('max(exit:hlt)<1s'), subjects);
  assert.ok(Number.isNaN(unknown.actual) && !unknown.holds);
});

test('a kind or a figure that is not there is named', () => {
  assert.throws(() => holds('count(exits)>1'), /nothing here is called exits; there is exit/);
  assert.throws(() => holds('p50(exit)>1us'), /exit has no p50; it has count, max, share/);
});

test('every figure of statistics can be asked for', () => {
  const summary = new Summary();
  for (const sample of [10, 20, 30]) summary.add(sample);
  const all = measured(summary.result(), 120, 2);
  assert.deepEqual(Object.keys(all).sort(), figures.map(({ name }) => name).sort());
  assert.deepEqual(
    [all.count, all.rate, all.total, all.share, all.min, all.avg, all.max],
    [3, 1.5, 60, 0.5, 10, 20, 30],
  );
});
