import java.util.LinkedHashMap;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;

/** What the programs of both SDKs share: the names of their checks, and how one holds a result against another. */
final class Check {
    /** A query for minutes. */
    static final String ENDLESS =
        "SELECT count(*) FROM UNNEST(sequence(1, 10000)) AS a(x), UNNEST(sequence(1, 10000)) AS b(y),"
        + " UNNEST(sequence(1, 10000)) AS c(z) WHERE x * y % 7 = z % 5";

    private Check() {}

    /** A check, which may throw whatever it meets. */
    interface Body {
        void run() throws Exception;
    }

    /** Prints the names of the checks, or runs those that the words after the first name. */
    static void main(String[] words, LinkedHashMap<String, Body> checks) throws Exception {
        if (words.length == 0) {
            checks.keySet().forEach(System.out::println);
        }
        for (int at = 1; at < words.length; at++) {
            checks.get(words[at]).run();
            System.out.println("passed " + words[at]);
        }
        // The SDKs leave threads behind that would keep the process for a while.
        System.exit(0);
    }

    static void equal(Object found, Object wanted) {
        if (!Objects.equals(found, wanted)) {
            throw new AssertionError("found " + found + ", wanted " + wanted);
        }
    }

    /** What a call fails with, which must be of this class itself. */
    static <T extends Exception> T raised(Class<T> type, Callable<?> call) {
        try {
            throw new AssertionError("no " + type.getSimpleName() + " but " + call.call());
        } catch (Exception error) {
            if (error.getClass() != type) {
                throw new AssertionError("no " + type.getSimpleName(), error);
            }
            return type.cast(error);
        }
    }

    /** A name that no other run of a program gives to its database. */
    static String unique(String prefix, String check) {
        return prefix + "_" + check + "_" + ProcessHandle.current().pid();
    }

    /** What two queries call when nothing tells the client where: AWS's name, then twice the cell that it answers. */
    static List<String> discovered(String region) {
        String domain = ".timestream." + region + ".amazonaws.com";
        return List.of("query" + domain, "query-cell1" + domain, "query-cell1" + domain);
    }
}
