import type { Unmarked } from '../trace/loss.ts';
import type { Reading } from '../views/reading.ts';
import { alignmentJson } from './alignment.ts';
import type { LossesJson } from './answers.ts';
import { escapeText } from './escape.ts';
import { ns } from './json.ts';
import type { Style, Terminal } from './terminal.ts';
import { count, plural } from './units.ts';

/**
 * The closing lines of a text answer: what was lost and what that makes unsure, why the answer is partial, and
 * what else a person should know of the recording. '' where there is nothing to say.
 */
export function remarks(reading: Reading, terminal: Terminal, unsure: string): string {
  return remarkLines(reading, unsure)
    .map(([style, line]) => `${terminal.style(style, line)}\n`)
    .join('');
}

/** The same line by line, with the style of each. */
export function remarkLines(reading: Reading, unsure: string): [style: Style, line: string][] {
  const lines: [style: Style, line: string][] = [];
  if (reading.holes > 0) lines.push(['warn', `${lossSentence(reading)} ${unsure}`.trimEnd()]);
  if (reading.unmarked.contradictions > 0)
    lines.push(['warn', `${unmarkedSentence(reading)} ${reading.holes > 0 ? '' : unsure}`.trimEnd()]);
  if (reading.late !== undefined) lines.push(['warn', escapeText(reading.late)]);
  for (const why of reading.partial) lines.push(['warn', `Partial: ${escapeText(why)}`]);
  for (const note of reading.notes) lines.push(['dim', `Note: ${escapeText(note)}`]);
  return lines;
}

/** How much was lost, as a sentence. */
export function lossSentence(reading: Reading): string {
  const { holes, counted, lost } = reading;
  const marked = reading.losses.filter(({ unmarked }) => unmarked === undefined);
  const cpus = new Set(marked.map((loss) => loss.cpu).filter((cpu) => cpu >= 0));
  const where = cpus.size === 0 ? '' : ` on ${plural(cpus.size, 'CPU')}`;
  const inHoles = plural(holes, 'hole');
  if (counted === 0) return `Lost: ${inHoles}${where}; the recorder does not say how many events are missing.`;
  const uncounted = holes === counted ? '' : `, and more in ${plural(holes - counted, 'hole')} without a count`;
  return `Lost: ${count(lost)} events in ${inHoles}${where}${uncounted}.`;
}

/** Contradictions told one by one. */
const maxTold = 3;

/** What is missing although the recorder marks nothing, and where, as a sentence. */
export function unmarkedSentence({ unmarked }: Reading): string {
  const { contradictions, silences, places } = unmarked;
  const told = places.slice(0, maxTold).map(({ why, from, to, cpu, tid }) => {
    const where = cpu < 0 ? '' : ` on CPU ${cpu}`;
    return `from ${from} to ${to}${where} (thread ${tid}: ${contradictionOf[why]})`;
  });
  const more = contradictions > told.length ? `, and ${count(contradictions - told.length)} more` : '';
  const alike =
    silences === 0
      ? ''
      : ` ${plural(silences, 'stretch', 'stretches')} as long in which nothing was recorded may be such a hole, too.`;
  const holes = plural(contradictions, 'hole');
  return `Missing: events, in ${holes} that nothing marks; what follows contradicts what came before: ${told.join(', ')}${more}.${alike}`;
}

const contradictionOf: Record<Unmarked['why'], string> = {
  'exit after exit': 'an exit after an exit',
  'entry after entry': 'an entry after an entry',
  'exit elsewhere': 'in the guest on another CPU before',
  'switch after switch': 'switched out where another thread ran',
  'not scheduled': 'in or out of the guest where another thread ran',
  silence: 'nothing was recorded',
};

/** The same facts for JSON answers, to be spread into the answer's object. Times are from the trace's beginning. */
export function remarksJson(reading: Reading): LossesJson {
  const notes = [...reading.notes, ...(reading.late === undefined ? [] : [reading.late])];
  return {
    partial: reading.partial.length > 0,
    ...(reading.partial.length > 0 ? { why: reading.partial } : {}),
    lost: reading.lost,
    holes: reading.holes,
    ...(reading.unmarked.contradictions === 0
      ? {}
      : { unmarked: reading.unmarked.contradictions + reading.unmarked.silences }),
    losses: reading.losses.map((loss) => ({
      from_ns: ns(loss.from),
      to_ns: ns(loss.to),
      cpu: loss.cpu < 0 ? null : loss.cpu,
      count: loss.count ?? null,
      ...(loss.unmarked === undefined ? {} : { unmarked: loss.unmarked.why, tid: loss.unmarked.tid }),
    })),
    ...(notes.length > 0 ? { notes } : {}),
    ...(reading.alignments?.length ? { alignments: reading.alignments.map(alignmentJson) } : {}),
  };
}
