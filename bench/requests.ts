// The pairing of `virtap leaks` as a script of virtap run, for comparison; requests_analyzer.py is the same for simpletrace.py.
import { analyzer, stats } from 'virtap/script';

export default analyzer(({ print }) => {
  const open = new Map<string, number>();
  const times = stats();
  return {
    virtqueue_pop({ vq, elem }, { time }) {
      open.set(vq + elem, time);
    },
    virtqueue_fill({ vq, elem }, { time }) {
      const key = vq + elem;
      const since = open.get(key);
      if (since === undefined) return;
      open.delete(key);
      times.add(time - since);
    },
    end() {
      print('elements', times.count, times.sum, times.min, times.max);
    },
  };
});
