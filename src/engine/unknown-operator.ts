/** An operator that the runtime does not have: what it says of it, as data. */

export interface UnknownOperator {
  /** "" is ai.onnx. */
  readonly domain: string;
  readonly op: string;
}

/** The operator for which a runtime without it refused a graph, by what it said; undefined for all other failures. */
export function unknownOperator(text: string): UnknownOperator | undefined {
  const [, custom, name] = /([\w.-]+):([\w.-]+)\(-?\d+\) is not a registered function\/op/.exec(text) ?? [];
  if (custom !== undefined && name !== undefined) return { domain: custom, op: name };
  const [, op, domain] =
    /In Node, \("[^"]*", ([^,]+), "([^"]*)".*(?:No Op registered|No opset import) for/s.exec(text) ?? [];
  return op === undefined || domain === undefined ? undefined : { domain, op };
}

/** The same of a failure that was caused by what the runtime said. */
export function unknownIn({ cause }: Error): UnknownOperator | undefined {
  return cause instanceof Error ? unknownOperator(cause.message) : undefined;
}
