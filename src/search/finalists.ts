import { type Figures, frontOf, type Objective } from "../recipe/objective.ts";
import { noFigures, type Scored, soundOf } from "./record.ts";

/** Those that the test samples judge: intervals are so much wider. */
const most = 4;

/**
 * The best that are allowed, the smallest that `bySize` allows, which may be slower, and of others on the front as many as there is room for. Where none is
 * allowed, those that lost least, or are nearest to a target.
 */
export function finalistsOf(tried: readonly Scored[], objective: Objective, bySize: Objective): readonly Scored[] {
  const sound = soundOf(tried);
  // Their refusals say why there is none.
  if (sound.length === 0) return tried.slice(0, most);
  const figuresOf = ({ figures = noFigures }: Scored): Figures => figures;
  const cost = (one: Scored): number => objective.cost(figuresOf(one));
  const allowed = sound.filter((one) => objective.allows(figuresOf(one))).toSorted((a, b) => cost(a) - cost(b));
  const far = ({ bytes, speed = 0, drop }: Figures): number =>
    objective.id === "target-size" ? bytes : objective.id === "faster" ? -speed : drop;
  if (allowed.length === 0) return sound.toSorted((a, b) => far(figuresOf(a)) - far(figuresOf(b))).slice(0, most);
  const smallest = sound
    .filter((one) => bySize.allows(figuresOf(one)))
    .toSorted((a, b) => figuresOf(a).bytes - figuresOf(b).bytes)
    .slice(0, 1);
  const first = allowed.slice(0, Math.ceil(most / 2));
  return [...new Set([...first, ...smallest, ...frontOf(allowed, figuresOf)])].slice(0, most);
}
