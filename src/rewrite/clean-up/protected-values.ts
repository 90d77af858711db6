/** Values that clean-ups must not change in a model in training: values with a role, and parameters. Two zero biases are only equal by chance. */
import { type Inference, parameterRoots } from "#analysis";
import { allValues, type Model, type Value } from "#ir";

/** Returns a function that tells whether a value is protected, or depends on a protected stored tensor. */
export function protectedValues(model: Model, inference: Inference): (value: Value) => boolean {
  const protectedRoots = new Set([...allValues(model.graph)].filter(({ role }) => role !== undefined));
  if (protectedRoots.size === 0) return () => false;
  for (const root of parameterRoots(model, inference)) protectedRoots.add(root);
  const results = new Map<Value, boolean>();
  const isProtected = (value: Value): boolean => {
    const cachedResult = results.get(value);
    if (cachedResult !== undefined) return cachedResult;
    const sources = inference.operand(value)?.stored === true ? (value.producer?.inputs ?? []) : [];
    const result = protectedRoots.has(value) || sources.some((source) => source !== undefined && isProtected(source));
    results.set(value, result);
    return result;
  };
  return isProtected;
}
