import com.amazonaws.AmazonServiceException;
import com.amazonaws.Request;
import com.amazonaws.client.builder.AwsClientBuilder;
import com.amazonaws.handlers.RequestHandler2;
import com.amazonaws.services.timestreamquery.AmazonTimestreamQuery;
import com.amazonaws.services.timestreamquery.AmazonTimestreamQueryClientBuilder;
import com.amazonaws.services.timestreamquery.model.CancelQueryRequest;
import com.amazonaws.services.timestreamquery.model.Datum;
import com.amazonaws.services.timestreamquery.model.QueryRequest;
import com.amazonaws.services.timestreamquery.model.QueryResult;
import com.amazonaws.services.timestreamquery.model.Row;
import com.amazonaws.services.timestreamwrite.AmazonTimestreamWrite;
import com.amazonaws.services.timestreamwrite.AmazonTimestreamWriteClientBuilder;
import com.amazonaws.services.timestreamwrite.model.ConflictException;
import com.amazonaws.services.timestreamwrite.model.CreateDatabaseRequest;
import com.amazonaws.services.timestreamwrite.model.CreateTableRequest;
import com.amazonaws.services.timestreamwrite.model.DeleteDatabaseRequest;
import com.amazonaws.services.timestreamwrite.model.DeleteTableRequest;
import com.amazonaws.services.timestreamwrite.model.DescribeDatabaseRequest;
import com.amazonaws.services.timestreamwrite.model.DescribeTableRequest;
import com.amazonaws.services.timestreamwrite.model.Dimension;
import com.amazonaws.services.timestreamwrite.model.ListTablesRequest;
import com.amazonaws.services.timestreamwrite.model.ListTablesResult;
import com.amazonaws.services.timestreamwrite.model.MeasureValueType;
import com.amazonaws.services.timestreamwrite.model.Record;
import com.amazonaws.services.timestreamwrite.model.RejectedRecord;
import com.amazonaws.services.timestreamwrite.model.RejectedRecordsException;
import com.amazonaws.services.timestreamwrite.model.ResourceNotFoundException;
import com.amazonaws.services.timestreamwrite.model.ValidationException;
import com.amazonaws.services.timestreamwrite.model.WriteRecordsRequest;
import com.amazonaws.services.timestreamwrite.model.WriteRecordsResult;
import java.net.URI;
import java.sql.Timestamp;
import java.time.LocalDate;
import java.time.LocalTime;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * What programs on the Java SDK (version 1) do with a server: each check asserts results and typed errors, in a
 * database of its own. This SDK reads no AWS_ENDPOINT_URL* variables. {@code test_programs.py} builds and runs it, with
 * the words that Java2 has.
 *
 * <p>Timestream's JDBC driver is on this SDK, and so are tools on the driver. Maven Central does not have it, so it
 * does not run here itself: {@code catalogs}, {@code values} and {@code fetches} make the calls that it makes, and read the
 * answers as it does.
 */
final class Java1 {
    private static final List<String> called = Collections.synchronizedList(new ArrayList<>());
    private static final String region = System.getenv("AWS_REGION");
    private static String endpoint;
    private static AmazonTimestreamWrite write;
    private static AmazonTimestreamQuery query;

    private Java1() {}

    public static void main(String[] words) throws Exception {
        LinkedHashMap<String, Check.Body> checks = new LinkedHashMap<>();
        checks.put("tables", Java1::tables);
        checks.put("faults", Java1::faults);
        checks.put("writes", Java1::writes);
        checks.put("rejects", Java1::rejects);
        checks.put("discovers", Java1::discovers);
        checks.put("catalogs", Java1::catalogs);
        checks.put("values", Java1::values);
        checks.put("fetches", Java1::fetches);
        checks.put("cancels", Java1::cancels);
        if (words.length > 0) {
            endpoint = words[0];
            write = connected(AmazonTimestreamWriteClientBuilder.standard()).build();
            query = connected(AmazonTimestreamQueryClientBuilder.standard()).build();
        }
        Check.main(words, checks);
    }

    /** The start of a client. What its requests called is kept in called. */
    private static <B extends AwsClientBuilder<B, C>, C> B connected(B builder) {
        builder.withRequestHandlers(new RequestHandler2() {
            @Override
            public void beforeRequest(Request<?> request) {
                called.add(request.getEndpoint().getAuthority());
            }
        });
        return endpoint.equals("-")
            ? builder
            : builder.withEndpointConfiguration(new AwsClientBuilder.EndpointConfiguration(endpoint, region));
    }

    /** Holds that a call fails with this class, code and status, and says which request that was. */
    private static <T extends AmazonServiceException> T fault(
            Class<T> type, String code, int status, Callable<?> call) {
        T error = Check.raised(type, call);
        Check.equal(error.getErrorCode(), code);
        Check.equal(error.getStatusCode(), status);
        Check.equal(error.getRequestId().length(), 26);
        return error;
    }

    /** Makes a table named records in a database of its own, whose name it returns. */
    private static String emptyTable(String check) {
        String database = Check.unique("java1", check);
        write.createDatabase(new CreateDatabaseRequest().withDatabaseName(database));
        write.createTable(new CreateTableRequest().withDatabaseName(database).withTableName("records"));
        return database;
    }

    private static Record load(String host, String value, long atMilliseconds, long version) {
        return new Record()
            .withDimensions(new Dimension().withName("host").withValue(host))
            .withMeasureName("load")
            .withMeasureValue(value)
            .withMeasureValueType(MeasureValueType.DOUBLE)
            .withTime(Long.toString(atMilliseconds))
            .withVersion(version);
    }

    private static WriteRecordsResult put(String database, Record... records) {
        return write.writeRecords(
            new WriteRecordsRequest().withDatabaseName(database).withTableName("records").withRecords(records));
    }

    /** A result as the JDBC driver fetches it: the statement goes with every token. `size` is none if it is 0. */
    private static List<Row> fetched(String text, int size) {
        QueryRequest request = new QueryRequest().withQueryString(text);
        if (size != 0) {
            request.setMaxRows(size);
        }
        List<Row> rows = new ArrayList<>();
        do {
            QueryResult page = query.query(request);
            Check.equal(size == 0 || page.getRows().size() <= size, true);
            rows.addAll(page.getRows());
            request.setNextToken(page.getNextToken());
        } while (request.getNextToken() != null);
        return rows;
    }

    private static List<String> lines(String text) {
        return fetched(text, 0).stream()
            .map(row -> row.getData().stream().map(Datum::getScalarValue).collect(Collectors.joining(" | ")))
            .collect(Collectors.toList());
    }

    private static List<String> selected(String database, String columns, String rest) {
        return lines(String.format("SELECT %s FROM \"%s\".\"records\" %s", columns, database, rest));
    }

    private static void tables() {
        String database = emptyTable("tables");
        var described = write.describeTable(
            new DescribeTableRequest().withDatabaseName(database).withTableName("records")).getTable();
        Check.equal(described.getTableStatus(), "ACTIVE");
        Check.equal(described.getRetentionProperties().getMemoryStoreRetentionPeriodInHours(), 6L);
        Check.equal(Math.abs(System.currentTimeMillis() - described.getCreationTime().getTime()) < 60_000, true);
        for (String more : List.of("aaa", "zzz")) {
            write.createTable(new CreateTableRequest().withDatabaseName(database).withTableName(more));
        }
        List<String> listed = new ArrayList<>();
        ListTablesRequest list = new ListTablesRequest().withDatabaseName(database).withMaxResults(2);
        do {
            ListTablesResult page = write.listTables(list);
            page.getTables().forEach(table -> listed.add(table.getTableName()));
            list.setNextToken(page.getNextToken());
        } while (list.getNextToken() != null);
        Check.equal(listed, List.of("aaa", "records", "zzz"));
        for (String name : listed) {
            write.deleteTable(new DeleteTableRequest().withDatabaseName(database).withTableName(name));
        }
        write.deleteDatabase(new DeleteDatabaseRequest().withDatabaseName(database));
    }

    private static void faults() {
        String database = emptyTable("faults");
        fault(ConflictException.class, "ConflictException", 409, () ->
            write.createDatabase(new CreateDatabaseRequest().withDatabaseName(database)));
        var missing = fault(ResourceNotFoundException.class, "ResourceNotFoundException", 404, () ->
            write.describeDatabase(new DescribeDatabaseRequest().withDatabaseName("nowhere")));
        Check.equal(missing.getErrorMessage(), "The database nowhere does not exist.");
        var wrong = fault(ValidationException.class, "ValidationException", 400, () ->
            put(database, load("a", "one", System.currentTimeMillis(), 1)));
        Check.equal(wrong.getErrorMessage(), "Invalid value one for double measure value type.");
        // The JDBC driver puts this text into its SQLException.
        var syntax = fault(
            com.amazonaws.services.timestreamquery.model.ValidationException.class, "ValidationException", 400, () ->
            query.query(new QueryRequest().withQueryString("SELECT 'open")));
        Check.equal(syntax.getErrorMessage(), "The query syntax is invalid at line 1:8");
    }

    private static void writes() {
        String database = emptyTable("writes");
        long now = System.currentTimeMillis();
        var ingested = put(database, load("a", "1.5", now, 1), load("b", "-0.0", now, 1)).getRecordsIngested();
        Check.equal(List.of(ingested.getTotal(), ingested.getMemoryStore()), List.of(2, 2));
        Check.equal(
            selected(database, "host, measure_value::double", "ORDER BY host"), List.of("a | 1.5", "b | -0.0"));
    }

    private static void rejects() {
        String database = emptyTable("rejects");
        long now = System.currentTimeMillis();
        put(database, load("a", "1", now, 5));
        List<RejectedRecord> rejected = fault(
            RejectedRecordsException.class, "RejectedRecordsException", 419, () ->
            put(database, load("a", "2", now, 4), load("b", "3", now, 1), load("c", "4", 1_000, 1)))
            .getRejectedRecords();
        Check.equal(rejected.size(), 2);
        Check.equal(rejected.get(0).getRecordIndex(), 0);
        Check.equal(rejected.get(0).getExistingVersion(), 5L);
        Check.equal(rejected.get(1).getRecordIndex(), 2);
        Check.equal(rejected.get(1).getReason().startsWith("The record timestamp is outside the time range ["), true);
        Check.equal(
            selected(database, "host, measure_value::double", "ORDER BY host"), List.of("a | 1.0", "b | 3.0"));
    }

    /** A client that is told an endpoint calls nothing else. Others ask once, and go where the answer says. */
    private static void discovers() {
        AmazonTimestreamQuery fresh = connected(AmazonTimestreamQueryClientBuilder.standard()).build();
        called.clear();
        for (int n = 0; n < 2; n++) {
            fresh.query(new QueryRequest().withQueryString("SELECT 1"));
        }
        String authority = URI.create(endpoint).getAuthority();
        Check.equal(called, authority == null ? Check.discovered(region) : List.of(authority, authority));
    }

    /** How the JDBC driver finds schemas, tables and columns, and what a prepared statement will answer. */
    private static void catalogs() {
        String database = emptyTable("catalogs");
        put(database, load("a", "1", System.currentTimeMillis(), 1));
        Check.equal(lines("SELECT 1"), List.of("1"));
        Check.equal(lines("SHOW DATABASES").contains(database), true);
        Check.equal(lines("SHOW DATABASES LIKE '" + database + "'"), List.of(database));
        Check.equal(lines("SHOW TABLES FROM \"" + database + "\""), List.of("records"));
        Check.equal(lines("SHOW TABLES FROM \"" + database + "\" LIKE 're%ds'"), List.of("records"));
        Check.equal(lines("SHOW TABLES FROM \"" + database + "\" LIKE 'other'"), List.of());
        Check.equal(
            lines("DESCRIBE \"" + database + "\".\"records\"").stream()
                .map(line -> line.substring(0, line.lastIndexOf(" | ")))
                .collect(Collectors.toList()),
            List.of(
                "host | varchar", "measure_name | varchar", "time | timestamp", "measure_value::double | double"));
        String text = "SELECT host, time FROM \"" + database + "\".\"records\"";
        QueryResult prepared = query.query(
            new QueryRequest().withQueryString("SELECT * FROM (" + text + ") LIMIT 0"));
        Check.equal(prepared.getRows(), List.of());
        Check.equal(
            prepared.getColumnInfo().stream()
                .map(column -> column.getName() + " " + column.getType().getScalarType())
                .collect(Collectors.toList()),
            List.of("host VARCHAR", "time TIMESTAMP"));
    }

    /** The types and texts from which the JDBC driver makes Java's values. */
    private static void values() {
        QueryResult page = query.query(new QueryRequest().withQueryString(
            "SELECT from_unixtime(1.5) AS t, date '2026-01-02' AS d, time '03:04:05.006' AS o,"
            + " INTERVAL '14' MONTH AS m, 26h AS h, bigint '9223372036854775807' AS b, 1 / 3e0 AS f, nan() AS n,"
            + " 1 < 2 AS y, NULL AS u, ARRAY[1, NULL] AS a, ROW('x', ARRAY[2]) AS r,"
            + " CREATE_TIME_SERIES(from_unixtime(0), 7) AS s"));
        List<Datum> data = page.getRows().get(0).getData();
        Check.equal(
            page.getColumnInfo().subList(0, 10).stream()
                .map(column -> column.getType().getScalarType())
                .collect(Collectors.toList()),
            List.of(
                "TIMESTAMP", "DATE", "TIME", "INTERVAL_YEAR_TO_MONTH", "INTERVAL_DAY_TO_SECOND", "BIGINT", "DOUBLE",
                "DOUBLE", "BOOLEAN", "UNKNOWN"));
        Check.equal(Timestamp.valueOf(data.get(0).getScalarValue()), Timestamp.valueOf("1970-01-01 00:00:01.5"));
        Check.equal(LocalDate.parse(data.get(1).getScalarValue()), LocalDate.of(2026, 1, 2));
        Check.equal(LocalTime.parse(data.get(2).getScalarValue()), LocalTime.of(3, 4, 5, 6_000_000));
        Check.equal(data.get(3).getScalarValue(), "1-2");
        Check.equal(data.get(4).getScalarValue(), "1 02:00:00.000000000");
        Check.equal(Long.valueOf(data.get(5).getScalarValue()), Long.MAX_VALUE);
        Check.equal(Double.valueOf(data.get(6).getScalarValue()), 1 / 3d);
        Check.equal(Double.valueOf(data.get(7).getScalarValue()), Double.NaN);
        Check.equal(Boolean.valueOf(data.get(8).getScalarValue()), true);
        Check.equal(List.of(data.get(9).isNullValue(), data.get(0).isNullValue() == null), List.of(true, true));

        var array = page.getColumnInfo().get(10).getType().getArrayColumnInfo().getType();
        Check.equal(array.getScalarType(), "INTEGER");
        Check.equal(
            data.get(10).getArrayValue(),
            List.of(new Datum().withScalarValue("1"), new Datum().withNullValue(true)));
        var fields = page.getColumnInfo().get(11).getType().getRowColumnInfo();
        Check.equal(fields.get(0).getType().getScalarType(), "VARCHAR");
        Check.equal(fields.get(1).getType().getArrayColumnInfo().getType().getScalarType(), "INTEGER");
        Check.equal(data.get(11).getRowValue().getData().get(1).getArrayValue().get(0).getScalarValue(), "2");
        var series = page.getColumnInfo().get(12).getType().getTimeSeriesMeasureValueColumnInfo().getType();
        Check.equal(series.getScalarType(), "INTEGER");
        Check.equal(data.get(12).getTimeSeriesValue().get(0).getTime(), "1970-01-01 00:00:00.000000000");
        Check.equal(data.get(12).getTimeSeriesValue().get(0).getValue().getScalarValue(), "7");
    }

    private static void fetches() {
        String database = emptyTable("fetches");
        put(database, IntStream.range(0, 10)
            .mapToObj(n -> load("h" + n, "1", System.currentTimeMillis(), 1))
            .toArray(Record[]::new));
        String text = String.format("SELECT host FROM \"%s\".\"records\" ORDER BY host", database);
        List<Row> wanted = IntStream.range(0, 10)
            .mapToObj(n -> new Row().withData(new Datum().withScalarValue("h" + n)))
            .collect(Collectors.toList());
        for (int size : List.of(0, 1, 3, 10, 1_000)) {
            Check.equal(fetched(text, size), wanted);
        }
    }

    /** A statement with a fetch size learns from an empty page what to cancel. */
    private static void cancels() {
        QueryRequest request = new QueryRequest().withQueryString(Check.ENDLESS).withMaxRows(10);
        QueryResult first = query.query(request);
        Check.equal(first.getRows(), List.of());
        query.cancelQuery(new CancelQueryRequest().withQueryId(first.getQueryId()));
        fault(com.amazonaws.services.timestreamquery.model.ConflictException.class, "ConflictException", 409, () ->
            query.query(request.withNextToken(first.getNextToken())));
    }
}
