import { type Figures, frontOf, type Objective } from "../recipe/objective.ts";
import { noFigures, type Scored, soundOf } from "./record.ts";

/** Those that the test samples judge: intervals are so much wider. */
const most = 4;

/** The best that are allowed, and of others on the front as many as there is room for; where none is allowed, those that lost least. */
export function finalistsOf(tried: readonly Scored[], objective: Objective): readonly Scored[] {
  const sound = soundOf(tried);
  // Their refusals say why there is none.
  if (sound.length === 0) return tried.slice(0, most);
  const figuresOf = ({ figures = noFigures }: Scored): Figures => figures;
  const cost = (one: Scored): number => objective.cost(figuresOf(one));
  const allowed = sound.filter((one) => objective.allows(figuresOf(one))).toSorted((a, b) => cost(a) - cost(b));
  if (allowed.length === 0) return sound.toSorted((a, b) => figuresOf(a).drop - figuresOf(b).drop).slice(0, most);
  return [...new Set([...allowed.slice(0, Math.ceil(most / 2)), ...frontOf(allowed, figuresOf)])].slice(0, most);
}
