// What programs on the Go SDK (version 1) do with a server: each check asserts results and typed errors, in a
// database of its own. `test_programs.py` builds and runs it:
//
//	checks ENDPOINT NAME...     the endpoint is given to the clients in code
//	checks - NAME...            they find it where AWS would be: this SDK reads no AWS_ENDPOINT_URL* variables
//	checks                      print the names
package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/timestreamquery"
	"github.com/aws/aws-sdk-go/service/timestreamwrite"
)

var (
	write  *timestreamwrite.TimestreamWrite
	query  *timestreamquery.TimestreamQuery
	called []string
	names  = []string{"tables", "faults", "writes", "rejects", "pages", "discovers"}
	checks = map[string]func(){
		"tables": tables, "faults": faults, "writes": writes, "rejects": rejects, "pages": pages, "discovers": discovers,
	}
)

func main() {
	if len(os.Args) == 1 {
		fmt.Println(strings.Join(names, "\n"))
		return
	}
	write, query = timestreamwrite.New(connected()), timestreamquery.New(connected())
	for _, name := range os.Args[2:] {
		checks[name]()
		fmt.Println("passed", name)
	}
}

// connected is the start of a client. What its requests called is kept in called.
func connected() *session.Session {
	settings := aws.Config{}
	if endpoint := os.Args[1]; endpoint != "-" {
		settings.Endpoint = aws.String(endpoint)
	}
	start := session.Must(session.NewSession(&settings))
	start.Handlers.Send.PushFront(func(sent *request.Request) { called = append(called, sent.HTTPRequest.URL.Host) })
	return start
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func equal(found, wanted any) {
	if !reflect.DeepEqual(found, wanted) {
		panic(fmt.Sprintf("found %v, wanted %v", found, wanted))
	}
}

// fault holds that an error is of type T, and has this code and status.
func fault[T error](err error, code string, status int) T {
	var typed T
	if !errors.As(err, &typed) {
		panic(fmt.Sprintf("%v is no %T", err, typed))
	}
	failure := err.(awserr.RequestFailure)
	equal(failure.Code(), code)
	equal(failure.StatusCode(), status)
	equal(len(failure.RequestID()), 26)
	return typed
}

// emptyTable makes a table named records in a database of its own, whose name it returns.
func emptyTable(name string) *string {
	database := aws.String(fmt.Sprintf("go1_%s_%d", name, os.Getpid()))
	must(write.CreateDatabase(&timestreamwrite.CreateDatabaseInput{DatabaseName: database}))
	must(write.CreateTable(&timestreamwrite.CreateTableInput{DatabaseName: database, TableName: aws.String("records")}))
	return database
}

func load(host, value string, at time.Time, version int64) *timestreamwrite.Record {
	return &timestreamwrite.Record{
		Dimensions:       []*timestreamwrite.Dimension{{Name: aws.String("host"), Value: aws.String(host)}},
		MeasureName:      aws.String("load"),
		MeasureValue:     aws.String(value),
		MeasureValueType: aws.String(timestreamwrite.MeasureValueTypeDouble),
		Time:             aws.String(strconv.FormatInt(at.UnixMilli(), 10)),
		Version:          aws.Int64(version),
	}
}

func put(database *string, records ...*timestreamwrite.Record) (*timestreamwrite.WriteRecordsOutput, error) {
	return write.WriteRecords(&timestreamwrite.WriteRecordsInput{
		DatabaseName: database, TableName: aws.String("records"), Records: records,
	})
}

func linesOf(rows []*timestreamquery.Row) []string {
	lines := []string{}
	for _, row := range rows {
		texts := []string{}
		for _, datum := range row.Data {
			texts = append(texts, aws.StringValue(datum.ScalarValue))
		}
		lines = append(lines, strings.Join(texts, " | "))
	}
	return lines
}

func selected(database *string, columns, rest string) []string {
	text := fmt.Sprintf(`SELECT %s FROM "%s"."records" %s`, columns, *database, rest)
	return linesOf(must(query.Query(&timestreamquery.QueryInput{QueryString: aws.String(text)})).Rows)
}

func tables() {
	database := emptyTable("tables")
	name := aws.String("records")
	described := must(write.DescribeTable(&timestreamwrite.DescribeTableInput{DatabaseName: database, TableName: name}))
	equal(*described.Table.TableStatus, timestreamwrite.TableStatusActive)
	equal(*described.Table.RetentionProperties.MemoryStoreRetentionPeriodInHours, int64(6))
	equal(time.Since(*described.Table.CreationTime) < time.Minute, true)
	listed := []string{}
	page := func(output *timestreamwrite.ListTablesOutput, _ bool) bool {
		for _, table := range output.Tables {
			listed = append(listed, *table.TableName)
		}
		return true
	}
	for _, more := range []string{"aaa", "zzz"} {
		must(write.CreateTable(&timestreamwrite.CreateTableInput{DatabaseName: database, TableName: aws.String(more)}))
	}
	input := &timestreamwrite.ListTablesInput{DatabaseName: database, MaxResults: aws.Int64(2)}
	must(0, write.ListTablesPages(input, page))
	equal(listed, []string{"aaa", "records", "zzz"})
	for _, one := range listed {
		must(write.DeleteTable(&timestreamwrite.DeleteTableInput{DatabaseName: database, TableName: aws.String(one)}))
	}
	must(write.DeleteDatabase(&timestreamwrite.DeleteDatabaseInput{DatabaseName: database}))
}

func faults() {
	database := emptyTable("faults")
	_, err := write.CreateDatabase(&timestreamwrite.CreateDatabaseInput{DatabaseName: database})
	fault[*timestreamwrite.ConflictException](err, "ConflictException", 409)
	_, err = write.DescribeDatabase(&timestreamwrite.DescribeDatabaseInput{DatabaseName: aws.String("nowhere")})
	missing := fault[*timestreamwrite.ResourceNotFoundException](err, "ResourceNotFoundException", 404)
	equal(missing.Message(), "The database nowhere does not exist.")
	_, err = put(database, load("a", "one", time.Now(), 1))
	wrong := fault[*timestreamwrite.ValidationException](err, "ValidationException", 400)
	equal(wrong.Message(), "Invalid value one for double measure value type.")
	_, err = query.Query(&timestreamquery.QueryInput{QueryString: aws.String("SELECT nope")})
	fault[*timestreamquery.ValidationException](err, "ValidationException", 400)
}

func writes() {
	database := emptyTable("writes")
	answer := must(put(database, load("a", "1.5", time.Now(), 1), load("b", "-0.0", time.Now(), 1)))
	equal(*answer.RecordsIngested.Total, int64(2))
	equal(*answer.RecordsIngested.MemoryStore, int64(2))
	equal(selected(database, "host, measure_value::double", "ORDER BY host"), []string{"a | 1.5", "b | -0.0"})
}

func rejects() {
	database := emptyTable("rejects")
	now := time.Now()
	must(put(database, load("a", "1", now, 5)))
	_, err := put(database, load("a", "2", now, 4), load("b", "3", now, 1), load("c", "4", time.Unix(1, 0), 1))
	rejected := fault[*timestreamwrite.RejectedRecordsException](err, "RejectedRecordsException", 419).RejectedRecords
	equal(len(rejected), 2)
	equal(*rejected[0].RecordIndex, int64(0))
	equal(*rejected[0].ExistingVersion, int64(5))
	equal(*rejected[1].RecordIndex, int64(2))
	equal(strings.HasPrefix(*rejected[1].Reason, "The record timestamp is outside the time range ["), true)
	equal(selected(database, "host, measure_value::double", "ORDER BY host"), []string{"a | 1.0", "b | 3.0"})
}

func pages() {
	database := emptyTable("pages")
	records, wanted, found := []*timestreamwrite.Record{}, []string{}, []string{}
	for n := range 10 {
		records = append(records, load(fmt.Sprintf("h%d", n), "1", time.Now(), 1))
		wanted = append(wanted, fmt.Sprintf("h%d", n))
	}
	must(put(database, records...))
	text := fmt.Sprintf(`SELECT host FROM "%s"."records" ORDER BY host`, *database)
	input := &timestreamquery.QueryInput{QueryString: aws.String(text), MaxRows: aws.Int64(3)}
	must(0, query.QueryPages(input, func(page *timestreamquery.QueryOutput, _ bool) bool {
		equal(len(page.Rows) <= 3, true)
		found = append(found, linesOf(page.Rows)...)
		return true
	}))
	equal(found, wanted)
}

// discovers holds that one call asks for an endpoint, unless it is given in code, and the others go where it says.
func discovers() {
	fresh := timestreamquery.New(connected())
	called = nil
	for range 2 {
		must(fresh.Query(&timestreamquery.QueryInput{QueryString: aws.String("SELECT 1")}))
	}
	if endpoint := os.Args[1]; endpoint != "-" {
		host := strings.TrimPrefix(endpoint, "http://")
		equal(called, []string{host, host})
		return
	}
	domain := fmt.Sprintf(".timestream.%s.amazonaws.com", *fresh.Config.Region)
	equal(called, []string{"query" + domain, "query-cell1" + domain, "query-cell1" + domain})
}
