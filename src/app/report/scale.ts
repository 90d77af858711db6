/** Returns about `wanted` round values (1, 2, 5 times a power of ten) between `low` and `high`. */
export function ticks(low: number, high: number, wanted: number): readonly number[] {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [low];
  const raw = span / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** Maps [low, high] to [from, to] linearly; a point maps to the middle. */
export function linear(low: number, high: number, from: number, to: number): (value: number) => number {
  return (value) => (high > low ? from + ((value - low) / (high - low)) * (to - from) : (from + to) / 2);
}

/** Moves positions at least `gap` apart, as close as possible to the wanted ones. Colliding ones are centered on their mean. */
export function spreadOut(wanted: readonly number[], gap: number, low: number, high: number): readonly number[] {
  const order = wanted.map((_, index) => index).sort((a, b) => (wanted[a] ?? 0) - (wanted[b] ?? 0));
  const runs: { sum: number; members: number[] }[] = [];
  const start = ({ sum, members }: { sum: number; members: number[] }): number => {
    const centred = sum / members.length - ((members.length - 1) * gap) / 2;
    return Math.max(low, Math.min(centred, high - (members.length - 1) * gap));
  };
  for (const index of order) {
    let run = { sum: wanted[index] ?? 0, members: [index] };
    for (let last = runs.at(-1); last !== undefined; last = runs.at(-1)) {
      if (start(last) + last.members.length * gap <= start(run)) break;
      runs.pop();
      run = { sum: last.sum + run.sum, members: [...last.members, ...run.members] };
    }
    runs.push(run);
  }
  const result = new Array<number>(wanted.length).fill(0);
  for (const run of runs) {
    run.members.forEach((index, place) => {
      result[index] = start(run) + place * gap;
    });
  }
  return result;
}
