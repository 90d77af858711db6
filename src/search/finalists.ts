import { frontOf, type Objective } from "../judge/run/objective.ts";
import { intervalOf, type Scored, soundOf, type Usable } from "./record.ts";

/** Number of candidates that the test samples evaluate; it widens the confidence intervals. */
export const mostFinalists = 4;

/** Selects the best within the objective, the smallest within `bySize`, and near or front candidates; without any, those that come closest. */
export function finalistsOf(tried: readonly Scored[], objective: Objective, bySize: Objective): readonly Scored[] {
  const sound = soundOf(tried);
  if (sound.length === 0) return tried.slice(0, mostFinalists);
  const cost = (one: Usable): number => objective.cost(one.figures);
  const misses = (one: Usable): number => objective.misses(one.figures);
  const allowed = sound.filter((one) => misses(one) === 0).toSorted((a, b) => cost(a) - cost(b));
  if (allowed.length === 0) return sound.toSorted((a, b) => misses(a) - misses(b)).slice(0, mostFinalists);
  const smallest = sound
    .filter((one) => bySize.misses(one.figures) === 0)
    .toSorted((a, b) => a.figures.size - b.figures.size)
    .slice(0, 1);
  const first = allowed.slice(0, Math.ceil(mostFinalists / 2));
  const near = sound.filter((one) => isNear(one, objective)).toSorted((a, b) => cost(a) - cost(b));
  const best = near.slice(0, 1);
  const chosen = [...new Set([...first, ...smallest, ...best, ...frontOf(allowed, ({ figures }) => figures)])].slice(
    0,
    mostFinalists,
  );
  const between = near.filter((one) => chosen.some((other) => cost(one) < cost(other)));
  return [...new Set([...chosen, ...between])].slice(0, mostFinalists);
}

/** On other samples the result may meet the goal. The 95 % interval is about four standard errors wide. */
function isNear(one: Usable, objective: Objective): boolean {
  const { drop, ...figures } = one.figures;
  const { low = drop } = intervalOf(one) ?? {};
  return objective.misses({ ...figures, drop: drop - (drop - low) / 2 }) === 0;
}

/** Evaluated if no finalist is kept: the two with the smallest drop, and the two fastest if speeds are known. */
export function reservesOf(
  tried: readonly Scored[],
  finalists: readonly Scored[],
  objective: Objective,
): readonly Scored[] {
  const others = soundOf(tried).filter((one) => !finalists.includes(one) && objective.misses(one.figures) === 0);
  const byDrop = others.toSorted((a, b) => a.figures.drop - b.figures.drop);
  const timed = others.filter(({ figures }) => figures.speed !== undefined);
  const bySpeed = timed.toSorted((a, b) => (b.figures.speed ?? 0) - (a.figures.speed ?? 0));
  const half = mostFinalists / 2;
  return [...new Set([...byDrop.slice(0, half), ...bySpeed.slice(0, half), ...byDrop])].slice(0, mostFinalists);
}
