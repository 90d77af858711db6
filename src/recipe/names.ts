/** What recipes and their steps are called in messages and reports. */
import { isRepeat, type Recipe } from "./recipe.ts";

/** The ids of all steps as they are written, numbered where several have the same: "prune 1", "train", "prune 2". */
export function stepNames({ steps }: Recipe): readonly string[] {
  const ids = steps.flatMap((one) => (isRepeat(one) ? one.steps : [one])).map(({ id }) => id);
  return ids.map((id, place) => {
    const before = ids.slice(0, place).filter((other) => other === id).length;
    const isOnly = before === 0 && !ids.slice(place + 1).includes(id);
    return isOnly ? id : `${id} ${before + 1}`;
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
