/** Makes some values the only outputs of a model, and removes nodes that these do not need. */
import * as v from "valibot";
import { infer } from "#analysis";
import { type Model, PithError, removeUnused, type Value } from "#ir";
import { type Change, definePass, withHelp } from "#pass";
import { cleanUpChange } from "./clean-up.ts";

export const keepOption = withHelp(
  v.optional(v.array(v.string()), []),
  "values that stay outputs; all outputs if none is named",
);

/**
 * Makes some values of the main graph the only outputs, and removes what only others need.
 * @throws PithError E_NAME for other names.
 * @example
 * await keepOutputs(model, { outputs: ["logits"] });
 */
export const keepOutputs = definePass({
  id: "keep-outputs",
  summary: "Keep some outputs only",
  options: v.strictObject({ outputs: keepOption }),
  async run(model, { outputs }) {
    const { graph } = model;
    if (outputs.length === 0) return { changes: [], misses: [] };
    const newOutputs = [...new Set(outputs)].map((name) => valueNamed(model, name));
    const oldOutputs = graph.outputs;
    if (newOutputs.length === oldOutputs.length && newOutputs.every((value, index) => value === oldOutputs[index]))
      return { changes: [], misses: [] };
    infer(model);
    const usedInputs = new Set(graph.inputs.filter((input) => input.uses.size > 0));
    graph.setOutputs(newOutputs);
    removeUnused(graph);
    const changes: Change[] = [];
    for (const value of [...oldOutputs, ...usedInputs]) {
      if (newOutputs.includes(value)) continue;
      const isUnread = usedInputs.has(value) && value.uses.size === 0;
      if (isUnread && graph.ownValue(value.name) === value) graph.removeValue(value);
      if (isUnread || oldOutputs.includes(value))
        changes.push(cleanUpChange(value.name, isUnread ? "no longer read" : "no longer an output"));
    }
    for (const value of newOutputs)
      if (!oldOutputs.includes(value)) changes.push(cleanUpChange(value.name, "is an output now"));
    if (changes.length === 0)
      changes.push(cleanUpChange(newOutputs.map(({ name }) => name).join(", "), "order of outputs"));
    return { changes, misses: [] };
  },
});

function valueNamed(model: Model, name: string): Value {
  const value = model.graph.ownValue(name);
  if (value !== undefined && value.tensor === undefined) return value;
  throw new PithError("E_NAME", `The model has no value "${name}" to keep as an output.`, {
    hint: `Outputs: ${model.graph.outputs.map((output) => output.name).join(", ")}.`,
  });
}
