import type { Vcpu } from '../spans/vcpu.ts';
import type { ExitPicture, Picture } from '../views/exit-picture.ts';
import type { SlowExitJson } from './answers.ts';
import { cellsWithin } from './cells-room.ts';
import { slowExitJson } from './exits-json.ts';
import type { ExitAnswer } from './exits-text.ts';
import type { ExitsSection, PictureFrame } from './page-data.ts';

/** Events and characters of text kept of one exit's log. */
const maxEvents = 40;
const maxText = 300;

/**
 * What a page shows of exits besides their answer, and the packed and deflated cells of the picture. These take at most `room` bytes: time bins are merged
 * until they do.
 */
export function exitsDrawn(
  answer: ExitAnswer,
  picture: ExitPicture,
  room: number,
): { shown: Pick<ExitsSection, 'picture' | 'logs'>; cells: Uint8Array } {
  const cells = cellsWithin(
    room,
    () => picture.result().cells,
    () => picture.coarsen(),
  );
  const drawn = picture.result();
  const { vcpus } = answer.result;
  const logs = drawn.logs.map((exit) => {
    const { thread, ...rest } = exit;
    return brief(slowExitJson({ ...rest, vcpu: vcpus[thread] as Vcpu }, answer));
  });
  return { shown: { picture: exitsFrame(answer.result, drawn), logs }, cells };
}

/** What the picture's series stand for, in which dimensions. */
function exitsFrame(
  { vcpus, unit }: Pick<ExitAnswer['result'], 'vcpus' | 'unit'>,
  { cells, series, reasons }: Omit<Picture, 'logs'>,
): PictureFrame {
  const vms = [...new Set(vcpus.map(({ vm }) => vm))];
  const several = vms.length > 1;
  const name = ({ vm, number, tid }: Vcpu) =>
    `${several && vm !== undefined ? `${vm}/` : ''}${number === undefined ? `thread ${tid}` : number}`;
  // A vCPU that ran on several threads is one.
  const names = [...new Set(vcpus.map(name))].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const byThread = vcpus.map((vcpu) => [names.indexOf(name(vcpu)), vms.indexOf(vcpu.vm)] as const);
  return {
    noun: ['exit', 'exits'],
    unit,
    from: cells.from,
    step: cells.step,
    bins: cells.bins,
    dimensions: [
      { title: 'reason', values: reasons.map((reason) => reason.name) },
      { title: 'vCPU', values: names },
      ...(several ? [{ title: 'VM', values: vms.map((vm) => (vm === undefined ? 'not known' : String(vm))) }] : []),
    ],
    series: series.map(({ thread, reason }) => {
      const [vcpu, vm] = byThread[thread] as readonly [number, number];
      return several ? [reason, vcpu, vm] : [reason, vcpu];
    }),
    apart: reasons.some(({ halt }) => halt)
      ? { values: reasons.flatMap(({ halt }, id) => (halt ? [id] : [])), title: 'halts', others: 'held up' }
      : undefined,
  };
}

/** A log short enough to be one of many. */
function brief(exit: SlowExitJson): SlowExitJson {
  const cut = exit.events.length - maxEvents;
  return {
    ...exit,
    events: exit.events.slice(0, maxEvents).map(({ text, ...event }) => ({ ...event, text: text.slice(0, maxText) })),
    omitted: exit.omitted + Math.max(0, cut),
  };
}
