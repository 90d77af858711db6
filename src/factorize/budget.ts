/**
 * One budget for the whole model, spread over its layers so that together they lose least.
 *
 * Each layer could become one of many chains, of this cost and that loss. Of these only the lower convex hull matters: from the whole layer down,
 * each next point costs less at a higher price, Δ loss / Δ cost. The cheapest of all next points is taken, whichever layer it is of, until the
 * budget holds, which is best up to the last point (Lagrange; "water-filling").
 */
import { Miss } from "../errors.ts";
import { integer } from "../evaluate/numbers.ts";
import type { Cost } from "./decomposition.ts";
import type { Choice } from "./ranks.ts";

export interface LayerChoices {
  /** What it costs as it is, all its uses together. */
  readonly whole: number;
  /** None: the layer as it is. */
  readonly options: readonly Option[];
}

interface Option {
  readonly cost: number;
  readonly loss: number;
  readonly choice: Choice | undefined;
}

/**
 * @param uses how often what a step costs is paid, by all the layers that share the weight: the places of their outputs, or 1 for weights.
 * @param sensitivity what the outputs of the model lose for each share of the weight's squared norm.
 */
export function choicesOf(
  choices: readonly Choice[],
  whole: Cost,
  of: keyof Cost,
  { uses, sensitivity }: { readonly uses: number; readonly sensitivity: number },
): LayerChoices {
  const options = choices.flatMap((choice): Option | [] => {
    const { step } = choice;
    const isSmaller = step.weights < whole.weights && step[of] < whole[of];
    return isSmaller ? { cost: step[of] * uses, loss: (step.lost ?? 0) * sensitivity, choice } : [];
  });
  return { whole: whole[of] * uses, options: options.toSorted((a, b) => b.cost - a.cost || b.loss - a.loss) };
}

/**
 * What each of the layers becomes; undefined where it stays. A Miss where the least of all is too much.
 * @param model what the whole model costs, and the share of it that may be left.
 */
export function allocate(
  layers: readonly LayerChoices[],
  { total: all, share, cost }: { readonly total: number; readonly share: number; readonly cost: keyof Cost },
): readonly (Choice | undefined)[] | Miss {
  const now = layers.map(({ whole }): Option => ({ cost: whole, loss: 0, choice: undefined }));
  let total = all;
  const moves = layers.flatMap(({ whole, options }, layer) => {
    const hull = lowerHull([{ cost: whole, loss: 0, choice: undefined }, ...options]);
    return hull.slice(1).map((to, index) => {
      const from = hull[index] ?? to;
      return { layer, to, price: (to.loss - from.loss) / (from.cost - to.cost) };
    });
  });
  for (const { layer, to } of moves.toSorted((a, b) => a.price - b.price)) {
    if (total <= share * all) break;
    const from = now[layer]?.cost ?? 0;
    // The last move may stop at a higher rank that is within the budget.
    const enough = (layers[layer]?.options ?? []).filter(
      ({ cost }) => cost >= to.cost && total - from + cost <= share * all,
    );
    const next = enough.reduce((best, one) => (one.loss < best.loss ? one : best), to);
    now[layer] = next;
    total += next.cost - from;
  }
  if (total <= share * all) return now.map(({ choice }) => choice);
  const what = cost === "macs" ? "multiply-accumulates" : "weights";
  const left = `${integer(total)} of ${integer(all)} ${what}, and ${integer(share * all)} are allowed`;
  const least = Math.ceil((1000 * total) / all) / 1000;
  const hint = least < 1 ? `the least \`budget\` that can be kept is ${least}` : "no layer can be made smaller";
  return new Miss(`the lowest ranks leave ${left}: ${hint}`, "budget");
}

/** The lower convex hull of points that are sorted by falling cost. */
function lowerHull(points: readonly Option[]): readonly Option[] {
  const hull: Option[] = [];
  for (const point of points) {
    for (;;) {
      const [a, b] = [hull.at(-2), hull.at(-1)];
      if (b === undefined) break;
      // Of two points of equal cost the one that loses less stays.
      const isDearer = b.cost === point.cost && b.loss >= point.loss && b.choice !== undefined;
      const isAbove =
        a !== undefined && (b.loss - a.loss) * (a.cost - point.cost) >= (point.loss - a.loss) * (a.cost - b.cost);
      if (!isDearer && !isAbove) break;
      hull.pop();
    }
    const last = hull.at(-1);
    if (last === undefined || point.cost < last.cost) hull.push(point);
  }
  return hull;
}
