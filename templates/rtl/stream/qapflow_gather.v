`timescale 1ns / 1ps
// COUNT beats become one, the first lowest.
module qapflow_gather #(
    parameter WIDTH = 8,
    parameter COUNT = 2
) (
    input wire clk,
    input wire rst,
    input wire [WIDTH-1:0] in_data,
    input wire in_valid,
    output wire in_ready,
    output reg [COUNT*WIDTH-1:0] out_data,
    output reg out_valid,
    input wire out_ready
);
    localparam BITS = $clog2(COUNT + 1);
    localparam [31:0] LAST = COUNT - 1;
    reg [BITS-1:0] count;
    wire last = count == LAST[BITS-1:0];

    assign in_ready = ~out_valid | out_ready;

    always @(posedge clk)
        if (in_valid & in_ready) out_data <= {in_data, out_data[COUNT*WIDTH-1:WIDTH]};

    always @(posedge clk) begin
        if (rst) begin
            count <= 0;
            out_valid <= 1'b0;
        end else begin
            if (in_valid & in_ready) begin
                count <= last ? 0 : count + 1'b1;
                out_valid <= last;
            end else if (out_ready) out_valid <= 1'b0;
        end
    end
endmodule
