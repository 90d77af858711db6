import { type Figures, frontOf, type Objective } from "../recipe/objective.ts";
import { intervalOf, noFigures, type Scored, soundOf } from "./record.ts";

/** Those that the test samples judge: intervals are so much wider. */
const most = 4;

const figuresOf = ({ figures = noFigures }: Scored): Figures => figures;

/**
 * The best that are allowed, the smallest that `bySize` allows, which may be slower, the best of those that would be allowed if they lost a standard error less, and as many
 * as there is room for of others on the front, then of those that are near. Where none is allowed, those that come nearest.
 */
export function finalistsOf(tried: readonly Scored[], objective: Objective, bySize: Objective): readonly Scored[] {
  const sound = soundOf(tried);
  // Their refusals say why there is none.
  if (sound.length === 0) return tried.slice(0, most);
  const cost = (one: Scored): number => objective.cost(figuresOf(one));
  const misses = (one: Scored): number => objective.misses(figuresOf(one));
  const allowed = sound.filter((one) => misses(one) === 0).toSorted((a, b) => cost(a) - cost(b));
  if (allowed.length === 0) return sound.toSorted((a, b) => misses(a) - misses(b)).slice(0, most);
  const smallest = sound
    .filter((one) => bySize.misses(figuresOf(one)) === 0)
    .toSorted((a, b) => figuresOf(a).bytes - figuresOf(b).bytes)
    .slice(0, 1);
  const first = allowed.slice(0, Math.ceil(most / 2));
  const near = sound.filter((one) => isNear(one, objective)).toSorted((a, b) => cost(a) - cost(b));
  const best = near.slice(0, 1);
  const chosen = [...new Set([...first, ...smallest, ...best, ...frontOf(allowed, figuresOf)])].slice(0, most);
  // One of them may be kept where all that cost less fail.
  const between = near.filter((one) => chosen.some((other) => cost(one) < cost(other)));
  return [...new Set([...chosen, ...between])].slice(0, most);
}

/** A result that keeps the goal may miss it by chance. The interval is about four standard errors wide. */
function isNear(one: Scored, objective: Objective): boolean {
  const { drop, ...figures } = figuresOf(one);
  const { low = drop } = intervalOf(one) ?? {};
  return objective.misses({ ...figures, drop: drop - (drop - low) / 2 }) === 0;
}

/** Where no finalist is kept: those of the others that are allowed which lose least. */
export function reservesOf(
  tried: readonly Scored[],
  finalists: readonly Scored[],
  objective: Objective,
): readonly Scored[] {
  return soundOf(tried)
    .filter((one) => !finalists.includes(one) && objective.misses(figuresOf(one)) === 0)
    .toSorted((a, b) => figuresOf(a).drop - figuresOf(b).drop)
    .slice(0, most);
}
