export interface Generator {
  /** A folder that holds generated files only. */
  readonly folder?: string;
  /** Path, relative to the root, → text. */
  generate(): Promise<ReadonlyMap<string, string>>;
}

/** Says at the top of a page where it comes from. */
export function generatedFrom(source: string): string {
  return `<!-- Generated from ${source} by npm run generate. Do not edit. -->`;
}
