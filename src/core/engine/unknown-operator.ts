/** Recognizes the runtime's errors for operators that it lacks. */

export interface UnknownOperator {
  /** "" is ai.onnx. */
  readonly domain: string;
  readonly op: string;
}

/** Returns the operator that a runtime error says it lacks; undefined for other errors. */
export function unknownOperator(text: string): UnknownOperator | undefined {
  const [, custom, name] = /([\w.-]+):([\w.-]+)\(-?\d+\) is not a registered function\/op/.exec(text) ?? [];
  if (custom !== undefined && name !== undefined) return { domain: custom, op: name };
  const [, op, domain] =
    /In Node, \("[^"]*", ([^,]+), "([^"]*)".*(?:No Op registered|No opset import) for/s.exec(text) ?? [];
  return op === undefined || domain === undefined ? undefined : { domain, op };
}

export function findUnknownOperator({ cause }: Error): UnknownOperator | undefined {
  return cause instanceof Error ? unknownOperator(cause.message) : undefined;
}
