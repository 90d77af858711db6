import { groupBy } from "../../core/tensor/group-by.ts";
import { isRepeat, type Recipe } from "./recipe.ts";

/** Numbers ids that occur several times: "prune 1", "train", "prune 2". */
export function stepNames({ steps }: Recipe): readonly string[] {
  const ids = steps.flatMap((one) => (isRepeat(one) ? one.steps : [one])).map(({ id }) => id);
  const groups = groupBy(ids, (id) => id);
  const counts = new Map<string, number>();
  return ids.map((id) => {
    const number = (counts.get(id) ?? 0) + 1;
    counts.set(id, number);
    return groups.get(id)?.length === 1 ? id : `${id} ${number}`;
  });
}

/** "10 × (prune + train) + quantize" */
export function recipeName(recipe: Recipe): string {
  const names = [...stepNames(recipe)];
  return recipe.steps
    .map((one) => {
      if (!isRepeat(one)) return names.shift();
      const repeated = names.splice(0, one.steps.length).join(" + ");
      return `${one.repeat} × ${one.steps.length === 1 ? repeated : `(${repeated})`}`;
    })
    .join(" + ");
}
