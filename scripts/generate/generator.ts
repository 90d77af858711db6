export interface Generator {
  /** A folder that holds generated files only. */
  readonly folder?: string;
  /** Path, relative to the root, → text. */
  generate(): Promise<ReadonlyMap<string, string>>;
}

/** Returns the comment at the top of a page that names its source. */
export function sourceNotice(source: string): string {
  return `<!-- Generated from ${source} by npm run generate. Do not edit. -->`;
}
