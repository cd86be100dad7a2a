/** Names of the SQLSTATEs that an app meets, from PostgreSQL's appendix "Error Codes"; else the name of the class. */

const NAMES: Readonly<Record<string, string>> = {
  "22001": "value too long",
  "22003": "number out of range",
  "22P02": "invalid text for the type",
  "23502": "not null violation",
  "23503": "foreign key violation",
  "23505": "unique violation",
  "23514": "check violation",
  "25P02": "transaction already failed",
  "40001": "serialization failure",
  "40P01": "deadlock detected",
  "42501": "insufficient privilege",
  "42601": "syntax error",
  "42703": "undefined column",
  "42P01": "undefined table",
  "42883": "undefined function",
  "53300": "too many connections",
  "55P03": "lock not available",
  "57014": "query cancelled",
  "57P01": "server shutting down",
};
const CLASSES: Readonly<Record<string, string>> = {
  "08": "connection exception",
  "22": "data exception",
  "23": "integrity constraint violation",
  "25": "invalid transaction state",
  "28": "invalid authorization",
  "40": "transaction rollback",
  "42": "syntax error or access rule violation",
  "53": "insufficient resources",
  "54": "program limit exceeded",
  "55": "object not in the needed state",
  "57": "operator intervention",
  "58": "system error",
  XX: "internal error",
};

/** What a SQLSTATE means; null for one that stands in neither table. */
export function sqlState(code: string): string | null {
  return NAMES[code] ?? (code.length === 5 ? (CLASSES[code.slice(0, 2)] ?? null) : null);
}
