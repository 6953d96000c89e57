import type { SlowExitJson, Unit } from '../../src/report/answers.ts';
import { figure } from '../../src/report/timed.ts';
import { cycles, duration, plural } from '../../src/report/units.ts';
import { stateLooks } from '../../src/report/vcpu-states.ts';
import { askExit } from './data.ts';
import { el, svg } from './dom.ts';
import { inner, innerTable, slowEntry } from './parts.ts';
import { statesBar } from './states-bar.ts';

/** One slow exit: a line, and when opened what happened in it. A server is asked for that when it is opened. */
export function slowExit(
  exit: SlowExitJson,
  unit: Unit,
  { open, live }: { open: boolean; live: boolean },
): HTMLElement {
  const long = unit === 'ns' ? duration : cycles;
  const length = figure(exit, 'duration', unit);
  const who = exit.vcpu === null ? `thread ${exit.tid}` : `vCPU ${exit.vcpu} (thread ${exit.tid})`;
  const body = inner();
  const asks = live && exit.events === undefined;
  const details = slowEntry(
    open && !asks,
    [
      el('span', { class: 'time' }, exit.time),
      el('strong', {}, exit.reason),
      el('span', { class: 'length' }, long(length)),
      el('span', {}, who),
      exit.cpu === null ? undefined : el('span', {}, `CPU ${exit.cpu}`),
      exit.rip === undefined || exit.rip === '0x0' ? undefined : el('span', { class: 'faint' }, `rip ${exit.rip}`),
    ],
    body,
  );
  if (!asks) fill(body, exit, unit);
  else {
    let asked = false;
    details.addEventListener('toggle', () => {
      if (asked) return;
      asked = true;
      body.textContent = 'Reading the trace …';
      askExit(exit).then(
        (full) => fill(body, full, unit),
        (error: Error) => {
          body.textContent = `Cannot be read: ${error.message}`;
        },
      );
    });
  }
  return details;
}

function fill(body: HTMLElement, exit: SlowExitJson, unit: Unit): void {
  const long = unit === 'ns' ? duration : cycles;
  const states = dividedTime(exit);
  if (exit.events.length === 0) {
    body.replaceChildren(...states, el('p', { class: 'faint' }, 'Nothing was recorded within it.'));
    return;
  }
  body.replaceChildren(
    ...states,
    strip(exit, unit),
    innerTable('events', 'What happened in this exit', [
      ...exit.events.map((event) =>
        el(
          'tr',
          {},
          el('th', { scope: 'row', class: 'number' }, `+${long(figure(event, 'offset', unit))}`),
          el('td', {}, event.cpu === null || event.cpu === exit.cpu ? '' : `CPU ${event.cpu}`),
          el('td', {}, event.event),
          el('td', { class: 'text' }, event.brief ?? event.text),
        ),
      ),
    ]),
    ...(exit.omitted > 0 ? [el('p', { class: 'faint' }, `… and ${plural(exit.omitted, 'event')} more`)] : []),
  );
}

/** Where its time went, where the trace tells. */
function dividedTime({ states, lock_wait: wait }: SlowExitJson): Node[] {
  const told = Object.entries(states ?? {}).filter(([, time]) => time > 0);
  if (told.length < 2 && told[0]?.[0] !== 'preempted') return [];
  const holder =
    wait?.holder === undefined || wait.holder === null
      ? ''
      : `, held by ${wait.holder.vcpu === null ? wait.holder.role : `vCPU ${wait.holder.vcpu}`}${wait.site === null ? '' : ` (${wait.site})`}`;
  const sum = told.reduce((all, [, time]) => all + time, 0);
  const order = told.map(([state]) => state);
  return [
    statesBar('How its time divides', Object.fromEntries(told), sum, order),
    el(
      'ul',
      { class: 'states' },
      ...told.map(([state, time]) =>
        el(
          'li',
          { class: `state-${state}` },
          `${duration(time)} ${stateLooks[state as keyof typeof stateLooks].name}`,
          state === 'lock' && wait !== undefined ? ` (${wait.name}${holder})` : undefined,
        ),
      ),
    ),
  ];
}

/** The exit as a strip of time: where its thread was off the CPU, and when something happened. */
function strip(exit: SlowExitJson, unit: Unit): Node {
  const [width, height] = [1000, 18];
  const length = Math.max(1, figure(exit, 'duration', unit));
  const x = (offset: number) => Math.round((offset / length) * width);
  const picture = svg('svg', {
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: 'none',
    class: 'strip',
    'aria-hidden': 'true',
  });
  picture.append(svg('rect', { width, height, class: 'on' }));
  let since: number | undefined;
  for (const event of exit.events) {
    const at = figure(event, 'offset', unit);
    if (event.effect === 'switched out') since = at;
    if (event.effect === 'switched in' && since !== undefined) {
      picture.append(svg('rect', { x: x(since), width: Math.max(1, x(at) - x(since)), height, class: 'off' }));
      since = undefined;
    }
    picture.append(svg('rect', { x: x(at), width: 2, height, class: 'tick' }));
  }
  return el(
    'div',
    { class: 'strip-box' },
    picture,
    el('span', { class: 'faint' }, 'from kvm_exit to kvm_entry, with its events; pale: off the CPU'),
  );
}
