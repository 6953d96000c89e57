import type { VcpuRowJson, VcpusJson } from '../../src/report/answers.ts';
import { timeLabels } from '../../src/report/scales.ts';
import { duration, percent } from '../../src/report/units.ts';
import { stateLooks } from '../../src/report/vcpu-states.ts';
import { vcpuColumns } from '../../src/report/vcpus-columns.ts';
import { declared } from './columns.ts';
import { el, svg } from './dom.ts';
import { pagePart } from './parts.ts';
import { statesBar } from './states-bar.ts';
import { type Column, Table } from './table.ts';

/** vCPUs drawn one by one. */
const drawn = 64;

/** The states in the answer, in the order of the looks. */
function statesIn({ vcpus }: VcpusJson): (keyof typeof stateLooks)[] {
  const names = Object.keys(stateLooks) as (keyof typeof stateLooks)[];
  return names.filter((state) => vcpus.some(({ states }) => (states[state] ?? 0) > 0));
}

/** How each vCPU's time divides: stacked bars, what each did over time, and the figures. */
export function vcpusPart(answer: VcpusJson): HTMLElement {
  const states = statesIn(answer);
  const several = new Set(answer.vcpus.map(({ vm }) => vm)).size > 1;
  const name = (row: VcpuRowJson) =>
    `${several && row.vm !== null ? `${row.vm}/` : ''}${row.vcpu === null ? `thread ${row.tid}` : `vCPU ${row.vcpu}`}`;
  const rows = answer.vcpus.slice(0, drawn);
  const table = new Table<VcpuRowJson>('How the time of each vCPU divides', [
    { title: 'vCPU', cell: name, key: name },
    ...declared<VcpuRowJson>(vcpuColumns, ['wall', 'exits'], { unit: 'ns' }),
    ...states.map((state): Column<VcpuRowJson> => {
      const of = ({ states: time }: VcpuRowJson) => time[state] ?? 0;
      return {
        title: state,
        number: true,
        cell: (row) => percent(of(row) / row.wall_ns),
        key: (row) => of(row) / row.wall_ns,
      };
    }),
  ]);
  table.show(answer.vcpus);
  return pagePart(
    'vcpus',
    "vCPUs' time",
    el(
      'p',
      {},
      'Where each vCPU thread was: in the guest, in KVM or QEMU, held up, or asleep because the guest halted.',
    ),
    el(
      'ul',
      { class: 'states', 'aria-hidden': 'true' },
      ...states.map((state) => el('li', { class: `state-${state}` }, stateLooks[state].name)),
    ),
    ...rows.map((row) =>
      el(
        'div',
        { class: 'vcpu-row' },
        el('span', {}, name(row)),
        statesBar(name(row), row.states, row.wall_ns, states),
      ),
    ),
    ...(answer.timeline === undefined ? [] : [timelines(rows, answer.timeline, name)]),
    table.element,
    ...answer.not_told_apart.map(({ state, stands_in, lacking }) =>
      el('p', { class: 'faint' }, `Not told apart: ${state}. It stands in ${stands_in}: there is no ${lacking}.`),
    ),
    answer.ran_instead.length === 0
      ? undefined
      : el(
          'p',
          {},
          `Preempted or waiting to run behind: ${answer.ran_instead
            .map(
              ({ tid, comm, time_ns: time }) =>
                `${tid === 0 ? 'waking an idle CPU' : `${comm} (${tid})`} ${duration(time)}`,
            )
            .join(', ')}.`,
        ),
  );
}

/** What each vCPU did most in each stretch of time. */
function timelines(
  rows: readonly VcpuRowJson[],
  { from_ns: from, time_step_ns: step }: { from_ns: number; time_step_ns: number },
  name: (row: VcpuRowJson) => string,
): HTMLElement {
  const bins = Math.max(1, ...rows.map(({ timeline }) => timeline?.length ?? 0));
  return el(
    'div',
    { class: 'timelines' },
    el('h3', {}, 'What each did most, over time'),
    ...rows.map((row) => {
      const picture = svg('svg', {
        viewBox: `0 0 ${bins} 1`,
        preserveAspectRatio: 'none',
        class: 'bar',
        'aria-hidden': 'true',
      });
      // Neighbours that are alike are one rectangle.
      const line = row.timeline ?? [];
      for (let from = 0; from < line.length; ) {
        let to = from + 1;
        while (to < line.length && line[to] === line[from]) to++;
        if (line[from] !== null)
          picture.append(svg('rect', { x: from, width: to - from, height: 1, class: `state-${line[from]}` }));
        from = to;
      }
      return el('div', { class: 'vcpu-row' }, el('span', {}, name(row)), picture);
    }),
    el(
      'div',
      { class: 'vcpu-row axis faint' },
      el('span', {}),
      el('span', {}, ...timeLabels([from, from + bins * step], 'ns').map((label) => el('span', {}, label))),
    ),
  );
}
