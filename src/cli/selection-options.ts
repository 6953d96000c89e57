import { type Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import type { Trace } from '../trace/trace.ts';
import { DerivedFieldError, parseDerivedField } from '../views/derived-field.ts';
import { EventPatterns } from '../views/event-pattern.ts';
import { EventSelection } from '../views/event-selection.ts';
import { Filter, FilterError } from '../views/filter.ts';
import { parseNumbers, parseWords } from './options.ts';
import { didYouMean } from './suggest.ts';

/** The options that say which events are meant, of every command that gives events. */
export type SelectionOptions = { event?: string[]; filter?: string; cpu?: number[]; vcpu?: number[] };

export function selectionOptions(command: Command): Command {
  return filterOption(
    command.option(
      '-e, --event <pattern>',
      "only these events: 'kvm_*', sched:sched_switch; may be repeated",
      parseWords,
    ),
  );
}

export function filterOption(command: Command): Command {
  return command
    .option('-f, --filter <expression>', "only events where it holds, e.g. 'tid==12 && port>=0x3f8'", parseFilter)
    .option('-C, --cpu <numbers>', 'only events on these CPUs of the host: 0, or 0,2,4-6', parseNumbers)
    .option('--vcpu <numbers>', 'only events of these vCPUs', parseNumbers)
    .addHelpText('after', filterHelp);
}

export function selectionOf(options: SelectionOptions): EventSelection {
  return new EventSelection(new EventPatterns(options.event ?? []), filterOf(options));
}

/** All that the options demand of an event besides its name. */
export function filterOf({ filter, cpu, vcpu }: Omit<SelectionOptions, 'event'>): Filter | undefined {
  const one = (name: string, numbers: readonly number[]) =>
    numbers.map((number) => `${name} == ${number}`).join(' || ');
  const all = [
    ...(filter === undefined ? [] : [filter]),
    ...(cpu === undefined ? [] : [one('cpu', cpu)]),
    ...(vcpu === undefined ? [] : [one('vcpu', vcpu)]),
  ];
  const whole = all.map((part) => `(${part})`).join(' && ');
  return whole === '' ? undefined : new Filter(whole);
}

const filterHelp = `
Filters compare a name with a value: == != < <= > >=, and =~ !~ for a regular expression; join
them with && || ! and parentheses. A name is a field of the event, or one of
  cpu, tid, pid, comm   of the thread that caused the event (.pid is the event's own field)
  event                 the event's name, with or without its system
  vcpu                  the vCPU, also for events that do not carry it
  reason                why the guest was left, by name: HLT, npf, EPT_VIOLATION
Values are numbers (10, 0xfee00000, all 64 bits), words, or "text".`;

function parseFilter(text: string): string {
  try {
    new Filter(text);
    return text;
  } catch (error) {
    if (error instanceof FilterError) throw new UsageError(error.message);
    throw error;
  }
}

/** The name of a field, or what is computed of some: `icr_low & 0xff`. */
export function parseField(text: string): string {
  try {
    parseDerivedField(text);
    return text;
  } catch (error) {
    if (error instanceof DerivedFieldError) throw new InvalidArgumentError(`${error.message}.`);
    throw error;
  }
}

/** For commander: several of them, separated by commas or by repeating the option. */
export function parseFields(text: string, previous: readonly string[] = []): string[] {
  return [...previous, ...parseWords(text).map(parseField)];
}

/** Nothing was selected: names that the trace does not have are the user's mistake, and said. */
export function explainNone(trace: Trace, { patterns, filter }: EventSelection, files: readonly string[]): void {
  const [pattern] = patterns.unused();
  if (pattern !== undefined) {
    const names = trace.types.map((type) => type.name);
    const more = didYouMean(pattern, names) || ` (virtap events ${files[0]} lists what there is)`;
    throw new UsageError(`no event in ${trace.file} is called ${pattern}${more}`);
  }
  if (filter === undefined) return;
  const { unknown, fields } = filter.unknownNames();
  const [name] = unknown;
  if (name === undefined) return;
  const shown = fields.slice(0, 60).join(', ') + (fields.length > 60 ? ', …' : '');
  throw new UsageError(
    `no event here has a field ${name}${didYouMean(name, fields).replace(/\?$/, '')}; there are ${shown}`,
  );
}
