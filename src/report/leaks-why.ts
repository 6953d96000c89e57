import { getSystemErrorName } from 'node:util';
import type { Unfinished } from '../views/leaks.ts';
import type { Source } from './leaks-columns.ts';
import { ageText } from './leaks-columns.ts';
import { count, plural } from './units.ts';

/** A bound of which only two digits are known, rounded up. */
function roughly(bound: number, trace: Source): string {
  const digit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, bound))) - 1);
  return ageText(trace)(Math.ceil(bound / digit) * digit);
}

/** What a request asked for, where that is known. */
export function askedText({ request }: Unfinished): string {
  const { operation, sector, sectors, command, tag } = request;
  if (operation !== '') {
    const many = Number.isNaN(sectors) ? '' : ` of ${plural(sectors, 'sector')}`;
    return `${operation}${many}${Number.isNaN(sector) ? '' : ` from sector ${sector}`}`;
  }
  if (!Number.isNaN(command)) {
    return `SCSI command 0x${command.toString(16)}${Number.isNaN(tag) ? '' : `, tag 0x${tag.toString(16)}`}`;
  }
  return '';
}

/** The same for a narrow column: `read 8 at 67160`, in sectors. */
export function askedBriefly(one: Unfinished): string {
  const { operation, sector, sectors } = one.request;
  if (operation === '') return askedText(one);
  const [many, where] = [sectors, sector].map((value) => (Number.isNaN(value) ? '?' : value));
  return `${operation} ${many} at ${where}`;
}

/** Why an element has its verdict, as a sentence. */
export function whySentence(one: Unfinished, trace: Source): string {
  const { verdict, request, usual, moment, because, report } = one;
  const age = ageText(trace);
  const timed = trace.clock.unit !== 'none';
  const until = {
    end: 'when the trace ends',
    reset: 'when its device was reset',
    hole: 'when events began to be lost',
    reused: 'when its address was used again',
  }[because];
  const open = timed ? `Open for ${age(Math.max(0, one.age))} ${until}` : `Open ${until}`;
  const whose = { queue: 'its queue', device: 'its device', trace: 'this trace' }[usual.from];
  const normal =
    timed && usual.count > 0
      ? `${whose} filled ${count(usual.count)} such requests, ${usual.isolated ? `all but isolated ones within about ${roughly(usual.longest, trace)}` : `each within ${age(usual.longest)}`}`
      : '';
  const finished =
    request.done < moment.time && request.result >= 0
      ? `its device had finished it${timed ? ` ${age(request.done - request.pop)} after its pop` : ''}`
      : '';
  const meanwhile = `${plural(moment.fills, 'element')} of its queue ${moment.fills === 1 ? 'was' : 'were'} filled meanwhile`;
  switch (verdict) {
    case 'leaked': {
      const later = one.overtaken
        ? moment.overtaken
          ? `${meanwhile}, later ones among them`
          : 'later ones on another queue of its device were filled'
        : 'nothing was popped later';
      return `${[open, normal, later, finished].filter((part) => part !== '').join('; ')}.`;
    }
    case 'lost':
      return `Popped again${timed ? ` ${age(one.age)} later` : ''} at the same address without a fill between: QEMU freed it, and the guest never got it back${finished === '' ? '' : `; ${finished}`}.`;
    case 'stuck':
      return `${open}; nothing popped later on its device was filled, so its storage or its thread hangs, or it leaked: the trace cannot tell.`;
    case 'held on error': {
      const error = systemError(request.result);
      const after = timed ? ` ${age(request.done - request.pop)} after its pop` : '';
      return `Its device failed it with ${error}${after} and keeps it, as rerror=stop and werror=stop ask for${because === 'reset' ? ', until its device was reset' : ''}.`;
    }
    case 'unsure':
      if (because === 'hole') return 'Events were lost between its pop and its end: its fill may be among them.';
      return `${open}, as old as a leak, but this queue may keep elements or give them back unseen${report.kind === undefined ? ': nothing tells what device it belongs to' : ''}.`;
    case 'returned unseen':
      return `Its address was used again${timed ? ` ${age(one.age)} after its pop` : ''}: such a queue gives elements back without a fill (unpop, detach), which is not traced.`;
    case 'in flight':
      return `${open}${normal === '' ? '' : `; ${normal}`}.`;
    case 'taken back':
      return `${open}, which took it back${normal === '' ? '' : `; ${normal}`}.`;
    case 'parked':
      return `Its queue keeps such buffers until it has a use for them${because === 'reset' ? '; its device was reset meanwhile' : ''}.`;
  }
}

function systemError(result: number): string {
  try {
    return `error ${result} (${getSystemErrorName(result)})`;
  } catch {
    return `error ${result}`;
  }
}
