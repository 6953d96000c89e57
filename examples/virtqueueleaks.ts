// Elements that a virtqueue lost: popped, and not filled within a time. An argument says how old they must be, 1 s where there is none.
import { analyzer, counts } from 'virtap/script';

export default analyzer(({ print, args: [age = '1'] }) => {
  const open = new Map<string, { vq: string; elem: string; time: number; stamp: string }>();
  const popped = counts({ by: 'vq' });
  const filled = counts({ by: 'vq' });
  let now = 0;
  return {
    virtqueue_pop({ vq, elem }, { time, stamp }) {
      open.set(`${vq} ${elem}`, { vq, elem, time, stamp });
      popped.add(vq);
      now = time;
    },
    virtqueue_fill({ vq, elem }, { time }) {
      open.delete(`${vq} ${elem}`);
      filled.add(vq);
      now = time;
    },
    end() {
      const old = [...open.values()].filter(({ time }) => now - time > Number(age) * 1e9);
      for (const { vq, elem, stamp } of old) print(`leaked: vq ${vq} elem ${elem}, popped at ${stamp}`);
      for (const [[vq], { count }] of popped) {
        const leaked = old.filter((element) => element.vq === vq).length;
        if (leaked > 0) print(`vq ${vq}: ${count} popped, ${filled.at(vq).count} filled, ${leaked} leaked`);
      }
    },
  };
});
