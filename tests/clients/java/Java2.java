import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.client.builder.AwsClientBuilder;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.endpointdiscovery.EndpointDiscoveryFailedException;
import software.amazon.awssdk.core.interceptor.Context;
import software.amazon.awssdk.core.interceptor.ExecutionAttributes;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.services.timestreamquery.TimestreamQueryAsyncClient;
import software.amazon.awssdk.services.timestreamquery.TimestreamQueryClient;
import software.amazon.awssdk.services.timestreamquery.model.ColumnInfo;
import software.amazon.awssdk.services.timestreamquery.model.ComputeMode;
import software.amazon.awssdk.services.timestreamquery.model.Datum;
import software.amazon.awssdk.services.timestreamquery.model.QueryExecutionException;
import software.amazon.awssdk.services.timestreamquery.model.QueryResponse;
import software.amazon.awssdk.services.timestreamquery.model.Row;
import software.amazon.awssdk.services.timestreamquery.model.ScalarType;
import software.amazon.awssdk.services.timestreamwrite.TimestreamWriteClient;
import software.amazon.awssdk.services.timestreamwrite.model.ConflictException;
import software.amazon.awssdk.services.timestreamwrite.model.Dimension;
import software.amazon.awssdk.services.timestreamwrite.model.MeasureValue;
import software.amazon.awssdk.services.timestreamwrite.model.MeasureValueType;
import software.amazon.awssdk.services.timestreamwrite.model.PartitionKey;
import software.amazon.awssdk.services.timestreamwrite.model.PartitionKeyEnforcementLevel;
import software.amazon.awssdk.services.timestreamwrite.model.PartitionKeyType;
import software.amazon.awssdk.services.timestreamwrite.model.Record;
import software.amazon.awssdk.services.timestreamwrite.model.RecordsIngested;
import software.amazon.awssdk.services.timestreamwrite.model.RejectedRecord;
import software.amazon.awssdk.services.timestreamwrite.model.RejectedRecordsException;
import software.amazon.awssdk.services.timestreamwrite.model.ResourceNotFoundException;
import software.amazon.awssdk.services.timestreamwrite.model.RetentionProperties;
import software.amazon.awssdk.services.timestreamwrite.model.Schema;
import software.amazon.awssdk.services.timestreamwrite.model.TableStatus;
import software.amazon.awssdk.services.timestreamwrite.model.Tag;
import software.amazon.awssdk.services.timestreamwrite.model.TimeUnit;
import software.amazon.awssdk.services.timestreamwrite.model.TimestreamWriteException;
import software.amazon.awssdk.services.timestreamwrite.model.ValidationException;

/**
 * What programs on the Java SDK (version 2) do with a server: each check asserts results and typed errors, in a
 * database of its own. {@code test_programs.py} builds and runs it:
 *
 * <pre>
 * Java2 ENDPOINT NAME...     the endpoint is given to the clients in code
 * Java2 - NAME...            they find it in the AWS_ENDPOINT_URL* variables, or where AWS would be
 * Java2                      print the names
 * </pre>
 */
final class Java2 {
    private static final DateTimeFormatter INSTANT = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss.nnnnnnnnn");
    private static final List<String> called = Collections.synchronizedList(new ArrayList<>());
    private static String endpoint;
    private static TimestreamWriteClient write;
    private static TimestreamQueryClient query;

    private Java2() {}

    public static void main(String[] words) throws Exception {
        LinkedHashMap<String, Check.Body> checks = new LinkedHashMap<>();
        checks.put("tables", Java2::tables);
        checks.put("tags", Java2::tags);
        checks.put("faults", Java2::faults);
        checks.put("writes", Java2::writes);
        checks.put("rejects", Java2::rejects);
        checks.put("pages", Java2::pages);
        checks.put("nested", Java2::nested);
        checks.put("settings", Java2::settings);
        checks.put("discovers", Java2::discovers);
        checks.put("async", Java2::async);
        checks.put("waits", Java2::waits);
        if (words.length > 0) {
            endpoint = words[0];
            write = connected(TimestreamWriteClient.builder()).build();
            query = connected(TimestreamQueryClient.builder()).build();
        }
        Check.main(words, checks);
    }

    /** The start of a client. What its requests called is kept in called. */
    private static <B extends AwsClientBuilder<B, C>, C> B connected(B builder) {
        builder.overrideConfiguration(options -> options.addExecutionInterceptor(new ExecutionInterceptor() {
            @Override
            public void beforeTransmission(Context.BeforeTransmission context, ExecutionAttributes attributes) {
                called.add(context.httpRequest().getUri().getAuthority());
            }
        }));
        return endpoint.equals("-") ? builder : builder.endpointOverride(URI.create(endpoint));
    }

    /** Holds that a call fails with this class and status, and says which request that was. */
    private static <T extends AwsServiceException> T fault(Class<T> type, int status, Runnable call) {
        T error = Check.raised(type, () -> {
            call.run();
            return "an answer";
        });
        Check.equal(error.statusCode(), status);
        Check.equal(error.requestId().length(), 26);
        return error;
    }

    private static String said(AwsServiceException error) {
        return error.awsErrorDetails().errorMessage();
    }

    /** Makes a table named records in a database of its own, whose name it returns. */
    private static String emptyTable(String check) {
        String database = Check.unique("java2", check);
        write.createDatabase(request -> request.databaseName(database));
        write.createTable(request -> request.databaseName(database).tableName("records"));
        return database;
    }

    private static Record load(String host, String value, Instant at, long version) {
        return Record.builder()
            .dimensions(Dimension.builder().name("host").value(host).build())
            .measureName("load")
            .measureValue(value)
            .measureValueType(MeasureValueType.DOUBLE)
            .time(nanoseconds(at))
            .timeUnit(TimeUnit.NANOSECONDS)
            .version(version)
            .build();
    }

    private static String nanoseconds(Instant at) {
        return Long.toString(at.getEpochSecond() * 1_000_000_000L + at.getNano());
    }

    private static RecordsIngested put(String database, Record... records) {
        return write.writeRecords(request -> request.databaseName(database).tableName("records").records(records))
            .recordsIngested();
    }

    /** All rows, a line each; NULL for NULL. */
    private static List<String> selected(String database, String columns, String rest) {
        String text = String.format("SELECT %s FROM \"%s\".\"records\" %s", columns, database, rest);
        return query.queryPaginator(request -> request.queryString(text)).stream()
            .flatMap(page -> lines(page).stream())
            .collect(Collectors.toList());
    }

    private static List<String> lines(QueryResponse page) {
        return page.rows().stream().map(Java2::line).collect(Collectors.toList());
    }

    private static String line(Row row) {
        return row.data().stream()
            .map(datum -> Boolean.TRUE.equals(datum.nullValue()) ? "NULL" : datum.scalarValue())
            .collect(Collectors.joining(" | "));
    }

    private static void tables() {
        String database = emptyTable("tables");
        var described = write.describeDatabase(request -> request.databaseName(database)).database();
        Check.equal(described.tableCount(), 1L);
        Check.equal(Duration.between(described.creationTime(), Instant.now()).abs().toMinutes(), 0L);
        write.updateDatabase(request -> request.databaseName(database).kmsKeyId("alias/other-key"));
        Check.equal(
            write.describeDatabase(request -> request.databaseName(database)).database().kmsKeyId(), "alias/other-key");

        Schema schema = Schema.builder()
            .compositePartitionKey(PartitionKey.builder()
                .type(PartitionKeyType.DIMENSION)
                .name("host")
                .enforcementInRecord(PartitionKeyEnforcementLevel.REQUIRED)
                .build())
            .build();
        var made = write.createTable(request -> request.databaseName(database).tableName("keyed").schema(schema));
        Check.equal(made.table().schema(), schema);
        Check.equal(made.table().tableStatus(), TableStatus.ACTIVE);
        RetentionProperties retention = RetentionProperties.builder()
            .memoryStoreRetentionPeriodInHours(12L)
            .magneticStoreRetentionPeriodInDays(30L)
            .build();
        write.updateTable(
            request -> request.databaseName(database).tableName("keyed").retentionProperties(retention));
        var after = write.describeTable(request -> request.databaseName(database).tableName("keyed"));
        Check.equal(after.table().retentionProperties(), retention);

        List<String> names = write.listTablesPaginator(request -> request.databaseName(database).maxResults(1)).stream()
            .flatMap(page -> page.tables().stream())
            .map(table -> table.tableName())
            .collect(Collectors.toList());
        Check.equal(names, List.of("keyed", "records"));
        for (String name : names) {
            write.deleteTable(request -> request.databaseName(database).tableName(name));
        }
        write.deleteDatabase(request -> request.databaseName(database));
        fault(ResourceNotFoundException.class, 404, () ->
            write.describeDatabase(request -> request.databaseName(database)));
    }

    private static void tags() {
        String database = Check.unique("java2", "tags");
        Tag stage = Tag.builder().key("stage").value("test").build();
        Tag team = Tag.builder().key("team").value("").build();
        String arn = write.createDatabase(request -> request.databaseName(database).tags(stage, team)).database().arn();
        Check.equal(write.listTagsForResource(request -> request.resourceARN(arn)).tags(), List.of(stage, team));
        Tag red = team.toBuilder().value("red").build();
        write.tagResource(request -> request.resourceARN(arn).tags(red));
        write.untagResource(request -> request.resourceARN(arn).tagKeys("stage"));
        Check.equal(write.listTagsForResource(request -> request.resourceARN(arn)).tags(), List.of(red));
    }

    private static void faults() {
        String database = emptyTable("faults");
        fault(ConflictException.class, 409, () -> write.createDatabase(request -> request.databaseName(database)));
        var missing = fault(ResourceNotFoundException.class, 404, () ->
            write.describeDatabase(request -> request.databaseName("nowhere")));
        Check.equal(said(missing), "The database nowhere does not exist.");
        var wrong = fault(ValidationException.class, 400, () -> put(database, load("a", "one", Instant.now(), 1)));
        Check.equal(said(wrong), "Invalid value one for double measure value type.");
        var syntax = fault(
            software.amazon.awssdk.services.timestreamquery.model.ValidationException.class, 400, () ->
            query.query(request -> request.queryString("SELECT 'open")));
        Check.equal(said(syntax), "The query syntax is invalid at line 1:8");
        fault(QueryExecutionException.class, 400, () -> query.query(request -> request.queryString("SELECT 1 / 0")));

        var nobody = StaticCredentialsProvider.create(AwsBasicCredentials.create("AKIDNOBODY", "wrong"));
        try (var stranger = connected(TimestreamWriteClient.builder()).credentialsProvider(nobody).build()) {
            Callable<?> call = () -> stranger.listDatabases(request -> {});
            // A client that asks for an endpoint is denied that already, and wraps the fault in one of its own.
            var denied = (TimestreamWriteException) (told() == null
                ? Check.raised(EndpointDiscoveryFailedException.class, call).getCause()
                : Check.raised(TimestreamWriteException.class, call));
            Check.equal(denied.awsErrorDetails().errorCode(), "UnrecognizedClientException");
        }
    }

    private static void writes() {
        String database = emptyTable("writes");
        Instant now = Instant.now();
        Record common = Record.builder()
            .dimensions(Dimension.builder().name("region").value("eu").build())
            .measureName("load")
            .measureValueType(MeasureValueType.BIGINT)
            .time(Long.toString(now.toEpochMilli()))
            .build();
        List<Record> records = IntStream.range(0, 2)
            .mapToObj(n -> Record.builder()
                .dimensions(Dimension.builder().name("host").value(n == 0 ? "a" : "b").build())
                .measureValue(Long.toString((1L << 62) + n))
                .build())
            .collect(Collectors.toList());
        var answer = write.writeRecords(request ->
            request.databaseName(database).tableName("records").commonAttributes(common).records(records));
        Check.equal(
            answer.recordsIngested(), RecordsIngested.builder().total(2).memoryStore(2).magneticStore(0).build());
        Check.equal(
            selected(database, "region, host, measure_value::bigint", "ORDER BY host"),
            List.of("eu | a | 4611686018427387904", "eu | b | 4611686018427387905"));

        String at = nanoseconds(now);
        Record multi = Record.builder()
            .dimensions(Dimension.builder().name("host").value("Zürich 🏔").build())
            .measureName("all")
            .measureValueType(MeasureValueType.MULTI)
            .measureValues(
                MeasureValue.builder().name("d").type(MeasureValueType.DOUBLE).value("-0.0").build(),
                MeasureValue.builder().name("v").type(MeasureValueType.VARCHAR).value("it's \"so\"").build(),
                MeasureValue.builder().name("b").type(MeasureValueType.BOOLEAN).value("true").build(),
                MeasureValue.builder().name("t").type(MeasureValueType.TIMESTAMP).value(at).build())
            .time(at)
            .timeUnit(TimeUnit.NANOSECONDS)
            .build();
        Check.equal(put(database, multi).total(), 1);
        String instant = LocalDateTime.ofInstant(now, ZoneOffset.UTC).format(INSTANT);
        Check.equal(
            selected(database, "host, d, v, b, t, time, measure_value::bigint", "WHERE measure_name = 'all'"),
            List.of("Zürich 🏔 | -0.0 | it's \"so\" | true | " + instant + " | " + instant + " | NULL"));
    }

    private static void rejects() {
        String database = emptyTable("rejects");
        Instant now = Instant.now();
        put(database, load("a", "1", now, 5));
        List<RejectedRecord> rejected = fault(RejectedRecordsException.class, 419, () -> put(
            database, load("a", "2", now, 4), load("b", "3", now, 1), load("c", "4", Instant.ofEpochSecond(1), 1)))
            .rejectedRecords();
        Check.equal(rejected.size(), 2);
        Check.equal(rejected.get(0), RejectedRecord.builder()
            .recordIndex(0)
            .reason("The record version 4 is lower than the existing version 5. "
                + "A higher version is required to update the measure value.")
            .existingVersion(5L)
            .build());
        Check.equal(rejected.get(1).recordIndex(), 2);
        Check.equal(rejected.get(1).reason().startsWith("The record timestamp is outside the time range ["), true);
        Check.equal(
            selected(database, "host, measure_value::double", "ORDER BY host"), List.of("a | 1.0", "b | 3.0"));
        put(database, load("a", "2", now, 6));
        Check.equal(selected(database, "measure_value::double", "WHERE host = 'a'"), List.of("2.0"));
    }

    private static void pages() {
        String database = emptyTable("pages");
        put(database, IntStream.range(0, 10)
            .mapToObj(n -> load("h" + n, "1", Instant.now(), 1))
            .toArray(Record[]::new));
        List<String> wanted = IntStream.range(0, 10).mapToObj(n -> "h" + n).collect(Collectors.toList());
        String text = String.format("SELECT host FROM \"%s\".\"records\" ORDER BY host", database);
        for (int size : List.of(1, 3, 10, 11, 997)) {
            List<String> found = new ArrayList<>();
            for (QueryResponse page : query.queryPaginator(request -> request.queryString(text).maxRows(size))) {
                Check.equal(page.rows().size() <= size, true);
                Check.equal(page.columnInfo().get(0).type().scalarType(), ScalarType.VARCHAR);
                found.addAll(lines(page));
            }
            Check.equal(found, wanted);
        }
    }

    private static void nested() {
        var page = query.query(request -> request.queryString(
            "SELECT ARRAY[1, NULL] AS a, ROW(1.5, 'x') AS r, CREATE_TIME_SERIES(time, v) AS s, INTERVAL '1' MONTH AS m,"
            + " from_unixtime(0) AS t, date '2026-01-02' AS d, time '03:04:05.006' AS o, 2h AS h, NULL AS n"
            + " FROM (VALUES (from_unixtime(1), bigint '7')) AS p(time, v)"));
        List<ColumnInfo> columns = page.columnInfo();
        List<Datum> data = page.rows().get(0).data();
        Check.equal(columns.get(0).type().arrayColumnInfo().type().scalarType(), ScalarType.INTEGER);
        Check.equal(data.get(0).arrayValue(), List.of(
            Datum.builder().scalarValue("1").build(), Datum.builder().nullValue(true).build()));
        Check.equal(columns.get(1).type().rowColumnInfo().size(), 2);
        Check.equal(line(data.get(1).rowValue()), "1.5 | x");
        Check.equal(
            columns.get(2).type().timeSeriesMeasureValueColumnInfo().type().scalarType(), ScalarType.BIGINT);
        Check.equal(data.get(2).timeSeriesValue().get(0).time(), "1970-01-01 00:00:01.000000000");
        Check.equal(data.get(2).timeSeriesValue().get(0).value().scalarValue(), "7");
        Check.equal(
            columns.subList(3, 9).stream().map(column -> column.type().scalarType()).collect(Collectors.toList()),
            List.of(
                ScalarType.INTERVAL_YEAR_TO_MONTH, ScalarType.TIMESTAMP, ScalarType.DATE, ScalarType.TIME,
                ScalarType.INTERVAL_DAY_TO_SECOND, ScalarType.UNKNOWN));
        Check.equal(
            line(Row.builder().data(data.subList(3, 9)).build()),
            "0-1 | 1970-01-01 00:00:00.000000000 | 2026-01-02 | 03:04:05.006000000 | 0 02:00:00.000000000 | NULL");
    }

    private static void settings() {
        var found = query.describeAccountSettings(request -> {});
        Check.equal(found.queryCompute().computeMode(), ComputeMode.ON_DEMAND);
        String database = emptyTable("settings");
        put(database, load("a", "1", Instant.now(), 1));
        String text = String.format(
            "SELECT host, count(*) AS n FROM \"%s\".\"records\" WHERE host = @host GROUP BY host", database);
        var prepared = query.prepareQuery(request -> request.queryString(text).validateOnly(true));
        Check.equal(prepared.columns().get(0).name(), "host");
        Check.equal(prepared.columns().get(0).databaseName(), database);
        Check.equal(prepared.columns().get(1).aliased(), true);
        Check.equal(prepared.parameters().get(0).name(), "host");
    }

    /** Where this program is told to send its requests, as the host and port; null if it is told nothing. */
    private static String told() {
        String address = endpoint;
        for (String name : List.of("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_TIMESTREAM_QUERY")) {
            address = address.equals("-") ? System.getenv().getOrDefault(name, "-") : address;
        }
        return URI.create(address).getAuthority();
    }

    /**
     * A client that is told an endpoint, in code or by a variable, calls nothing else, though discovery is asked for.
     * Others ask once, and go where the answer says.
     */
    private static void discovers() {
        called.clear();
        try (var fresh = connected(TimestreamQueryClient.builder()).endpointDiscoveryEnabled(true).build()) {
            for (int n = 0; n < 2; n++) {
                fresh.query(request -> request.queryString("SELECT 1"));
            }
        }
        Check.equal(called, told() == null ? Check.discovered(System.getenv("AWS_REGION")) : List.of(told(), told()));
    }

    /** The asynchronous clients have an HTTP client of their own. */
    private static void async() {
        String text = "SELECT x FROM UNNEST(sequence(1, 5000)) AS t(x) ORDER BY x";
        try (var fresh = connected(TimestreamQueryAsyncClient.builder()).build()) {
            List<String> found = Collections.synchronizedList(new ArrayList<>());
            fresh.queryPaginator(request -> request.queryString(text).maxRows(1_000))
                .subscribe(page -> found.addAll(lines(page)))
                .join();
            Check.equal(found, IntStream.rangeClosed(1, 5000).mapToObj(String::valueOf).collect(Collectors.toList()));
        }
    }

    /** A query that takes longer than this SDK waits for an answer: an empty page comes before. */
    private static void waits() {
        QueryResponse first = query.query(request -> request.queryString(Check.ENDLESS));
        Check.equal(first.rows(), List.of());
        query.cancelQuery(request -> request.queryId(first.queryId()));
        fault(software.amazon.awssdk.services.timestreamquery.model.ConflictException.class, 409, () ->
            query.query(request -> request.queryString(Check.ENDLESS).nextToken(first.nextToken())));
    }
}
